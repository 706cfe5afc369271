-- Roles of a tenant's own, beside those that every tenant has.

CREATE TABLE roles (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,30}$'),
    description text NOT NULL CHECK (char_length(description) <= 500),
    -- As they were written: a name that no program knows any more holds nothing, and stays.
    permissions text[] NOT NULL CHECK (cardinality(permissions) <= 100),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    created_by text NOT NULL,
    -- A program would never look here for a role that it has itself.
    CONSTRAINT roles_name_is_own CHECK (name NOT IN ('owner', 'admin', 'developer', 'read_only'))
);
GRANT SELECT, INSERT, UPDATE, DELETE ON roles TO :"tenant";

-- A program of before this migration reads a role that it does not know as one that holds nothing.
ALTER TABLE users
    DROP CONSTRAINT users_role_check,
    ADD CONSTRAINT users_role_form CHECK (role ~ '^[a-z][a-z0-9_]{0,30}$');
ALTER TABLE api_keys
    DROP CONSTRAINT api_keys_role_check,
    ADD CONSTRAINT api_keys_role_form CHECK (role ~ '^[a-z][a-z0-9_]{0,30}$');
