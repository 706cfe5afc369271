-- At which version tenants are built, and how a tenant leaves: deleted, kept for a while, purged.

CREATE TABLE tenant_migrations (
    version text PRIMARY KEY,
    name text NOT NULL,
    format smallint NOT NULL,
    up text NOT NULL
);
COMMENT ON TABLE tenant_migrations IS
    'The migrations of a tenant''s schema, as the program that migrated last knows them: an older one builds with these.';
COMMENT ON COLUMN tenant_migrations.format IS
    'How up is to be read; a program that does not know the format leaves the building to one that does.';

CREATE TABLE tenant_schema_target (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version text NOT NULL REFERENCES tenant_migrations (version),
    set_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tenant_schema_target_version ON tenant_schema_target (version);
COMMENT ON TABLE tenant_schema_target IS
    'The version that every tenant is built at. Written by bulkhead migrate under the fleet''s lock, read under the same '
    'lock by whoever builds; it only ever rises.';

ALTER TABLE tenants
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN purge_after timestamptz,
    ADD COLUMN restore_to text CHECK (restore_to IN ('active', 'suspended'));
-- No operation deleted a tenant before, but a person may have. Where the schema is gone there is nothing to go back to: its
-- purge begins below.
UPDATE tenants SET deleted_at = updated_at, purge_after = updated_at + interval '30 days',
    restore_to = CASE WHEN to_regnamespace(role_name) IS NOT NULL THEN 'suspended' END
WHERE status = 'deleted';
ALTER TABLE tenants ADD CONSTRAINT tenants_deleted_check CHECK (
    (status = 'deleted') = (deleted_at IS NOT NULL) AND (deleted_at IS NULL) = (purge_after IS NULL)
    AND (deleted_at IS NOT NULL OR restore_to IS NULL));
CREATE INDEX tenants_restorable ON tenants (purge_after) WHERE restore_to IS NOT NULL;
CREATE INDEX tenants_provisioning ON tenants (id) WHERE status = 'provisioning';
COMMENT ON COLUMN tenants.purge_after IS 'Until when a deleted tenant is kept, so that it can be restored.';
COMMENT ON COLUMN tenants.restore_to IS
    'The state that a deleted tenant had, and gets back; null when there is no way back: its purge has begun.';

CREATE TABLE tenant_purges (
    tenant_id uuid PRIMARY KEY REFERENCES tenants (id),
    slug text NOT NULL,
    step text NOT NULL DEFAULT 'jobs' CHECK (step IN ('jobs', 'audit', 'schema', 'records', 'seal')),
    begun_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    receipt jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX tenant_purges_unfinished ON tenant_purges (tenant_id) WHERE finished_at IS NULL;
COMMENT ON TABLE tenant_purges IS
    'The state of each purge. A step commits together with what it has removed, so a run that dies anywhere is gone on with.';
COMMENT ON COLUMN tenant_purges.slug IS
    'The slug that the tenant had. When the purge is finished another may have it: tenants.slug is then made from the id.';
COMMENT ON COLUMN tenant_purges.step IS 'What is to be done next, or was done last when it is finished.';
COMMENT ON COLUMN tenant_purges.receipt IS 'What was removed so far.';
INSERT INTO tenant_purges (tenant_id, slug) SELECT id, slug FROM tenants WHERE status = 'deleted' AND restore_to IS NULL;

CREATE TABLE tenant_audit_log (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    request_id text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE tenant_audit_log IS
    'Who did what when in tenants that were purged. What was changed is not kept: it went with the tenant''s data.';

INSERT INTO job_kinds (kind, by_tenants) VALUES ('purge_tenant', false), ('sweep_tenants', false);

GRANT SELECT ON tenant_schema_target, tenant_audit_log TO bulkhead_platform_rw;
GRANT SELECT, INSERT ON tenant_purges TO bulkhead_platform_rw;
