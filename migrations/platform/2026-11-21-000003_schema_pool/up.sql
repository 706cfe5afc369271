-- Schemas that are built before anybody has asked for them.

CREATE TABLE schema_pool (
    tenant_id uuid PRIMARY KEY,
    role_name text NOT NULL UNIQUE CHECK (role_name ~ '^t_[0-9a-z]{26}$'),
    version text NOT NULL,
    built_at timestamptz NOT NULL,
    taken_at timestamptz
);
COMMENT ON TABLE schema_pool IS
    'Ids whose role and empty schema are there before their tenant is in service; the row is deleted by the transaction '
    'that puts it there.';
COMMENT ON COLUMN schema_pool.role_name IS 'Name of the role and of the schema; derived from the id.';
COMMENT ON COLUMN schema_pool.version IS 'The newest tenant migration that the schema has.';
COMMENT ON COLUMN schema_pool.taken_at IS 'When a tenant signed up with the id; null while it waits for one.';

INSERT INTO job_kinds (kind, by_tenants) VALUES ('fill_schema_pool', false);

GRANT SELECT (tenant_id, version, taken_at), UPDATE (taken_at) ON schema_pool TO bulkhead_platform_rw;
