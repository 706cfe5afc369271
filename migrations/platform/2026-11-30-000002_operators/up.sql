-- Operators that are managed like a tenant's people: roles of the platform's own, a token to set a password with, API keys, a
-- second factor; and whether a tenant lets operators act as its people.

CREATE TABLE operator_roles (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,30}$'),
    description text NOT NULL CHECK (char_length(description) <= 500),
    permissions text[] NOT NULL CHECK (cardinality(permissions) <= 100),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    created_by text NOT NULL,
    CONSTRAINT operator_roles_name_is_own CHECK (name NOT IN ('admin', 'support', 'billing'))
);
COMMENT ON TABLE operator_roles IS 'Roles of operators beside those that every program has.';
COMMENT ON COLUMN operator_roles.permissions IS
    'As they were written: a name that no program knows any more holds nothing, and stays.';

-- A program of before this migration reads a role that it does not know as one that holds nothing.
ALTER TABLE operators
    DROP CONSTRAINT operators_role_check,
    ADD CONSTRAINT operators_role_form CHECK (role ~ '^[a-z][a-z0-9_]{0,30}$'),
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN token_mac bytea,
    ADD COLUMN token_by text,
    ADD COLUMN token_expires_at timestamptz;
COMMENT ON COLUMN operators.password_hash IS 'Empty, which no password matches, until the operator has set a password.';
COMMENT ON COLUMN operators.token_mac IS
    'HMAC of the token with which the operator may set a password once; null when there is none. A newer one takes its place.';
COMMENT ON COLUMN operators.token_by IS 'Who has asked for the token: the subject of a credential.';

CREATE TABLE operator_keys (
    id uuid PRIMARY KEY,
    operator_id uuid NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    name text NOT NULL,
    hint text NOT NULL,
    mac bytea NOT NULL,
    scopes text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 100),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    last_used_at timestamptz
);
CREATE INDEX operator_keys_operator ON operator_keys (operator_id);
COMMENT ON TABLE operator_keys IS
    'Credentials of operators'' programs. A key holds what its scopes say of what its operator holds at that moment.';

CREATE TABLE second_factors (
    person_id uuid PRIMARY KEY REFERENCES operators (id) ON DELETE CASCADE,
    sealed_secret bytea NOT NULL,
    confirmed_at timestamptz,
    last_step bigint NOT NULL DEFAULT 0,
    recovery_macs bytea[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
);
COMMENT ON COLUMN second_factors.last_step IS
    'The time step of the last code that was used: a code of this step or before is used up.';
COMMENT ON COLUMN second_factors.recovery_macs IS 'HMACs of the recovery codes that are left.';

ALTER TABLE tenants ADD COLUMN impersonation boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN tenants.impersonation IS 'Whether operators may act as the tenant''s people; the tenant''s owners decide.';

GRANT SELECT, INSERT, UPDATE, DELETE ON operator_roles, operator_keys, second_factors TO bulkhead_platform_rw;
GRANT DELETE ON operators TO bulkhead_platform_rw;
