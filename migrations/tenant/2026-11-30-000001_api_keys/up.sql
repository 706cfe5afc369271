-- What bounds an API key beside its role, and what is known of its use.
--
-- A program of before this migration makes keys without a grantor: such a key answers to the maker that created_by names. It
-- knows nothing of the other bounds, so keys that have one have their HMAC in guarded_mac alone, and it refuses them.

ALTER TABLE api_keys
    -- On whose authority the key works: it holds what that person, or that key, holds. At most one is set.
    ADD COLUMN granted_by_user uuid,
    ADD COLUMN granted_by_key uuid,
    ADD COLUMN scopes text[] CHECK (cardinality(scopes) <= 256),
    ADD COLUMN allowed_addresses text[] CHECK (cardinality(allowed_addresses) BETWEEN 1 AND 20),
    ADD COLUMN requests_per_minute integer CHECK (requests_per_minute > 0),
    -- Stands in the place of mac, which is then empty.
    ADD COLUMN guarded_mac bytea,
    -- Of the secret before the last rotation, and until when it is good.
    ADD COLUMN previous_mac bytea,
    ADD COLUMN previous_until timestamptz,
    ADD COLUMN rotated_at timestamptz,
    ADD COLUMN disabled_at timestamptz,
    -- When the key was reported as leaked, which has revoked it.
    ADD COLUMN leaked_at timestamptz,
    ADD COLUMN last_used_at timestamptz,
    -- Since when uses are written down: for keys from before, the time of this migration.
    ADD COLUMN watched_since timestamptz NOT NULL DEFAULT now(),
    ADD CONSTRAINT api_keys_one_grantor CHECK (granted_by_user IS NULL OR granted_by_key IS NULL),
    ADD CONSTRAINT api_keys_previous_whole CHECK ((previous_mac IS NULL) = (previous_until IS NULL));
