REVOKE DELETE ON signing_keys FROM bulkhead_platform_rw;
DROP INDEX signing_keys_one_standby;
ALTER TABLE signing_keys
    DROP COLUMN activated_at,
    DROP COLUMN retired_at;
DROP TABLE root_keys;
