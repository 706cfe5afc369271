-- Signing keys that are replaced, and a root key that outlives the master keys that seal it.

CREATE TABLE root_keys (
    fingerprint text PRIMARY KEY,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE root_keys IS
    'The one root key, from which every symmetric key is derived, sealed once for each master key that opens it. Without a row '
    'the root key is the master key itself, as it was before there was this table.';
COMMENT ON COLUMN root_keys.fingerprint IS 'Which master key opens the row: a key derivation that tells nothing of it.';

ALTER TABLE signing_keys
    ADD COLUMN activated_at timestamptz,
    ADD COLUMN retired_at timestamptz;
CREATE UNIQUE INDEX signing_keys_one_standby ON signing_keys (state) WHERE state = 'standby';
COMMENT ON COLUMN signing_keys.activated_at IS 'Since when it signs; null for a key that an older program has made.';
COMMENT ON COLUMN signing_keys.retired_at IS
    'Since when it signs no more. Its private part is then empty, and the row is deleted when no token of it can live.';

GRANT DELETE ON signing_keys TO bulkhead_platform_rw;
GRANT SELECT, INSERT, DELETE ON root_keys TO bulkhead_platform_rw;
