-- What comes before knows no purge: a tenant that is deleted and not purged would be kept for ever.
DO $$
BEGIN
    IF EXISTS (SELECT FROM tenants WHERE restore_to IS NOT NULL)
        OR EXISTS (SELECT FROM tenant_purges WHERE finished_at IS NULL) THEN
        RAISE EXCEPTION 'tenants are deleted and not purged: restore them, or wait until a worker has purged them';
    END IF;
    -- Nor has it a place for what was promised to stay.
    IF EXISTS (SELECT FROM tenant_purges) OR EXISTS (SELECT FROM tenant_audit_log) THEN
        RAISE EXCEPTION 'tenants were purged, and their receipts and audit logs would be lost: copy them elsewhere and delete them first';
    END IF;
END
$$;
DELETE FROM jobs WHERE kind IN ('purge_tenant', 'sweep_tenants');
DELETE FROM job_kinds WHERE kind IN ('purge_tenant', 'sweep_tenants');
DROP TABLE tenant_audit_log;
DROP TABLE tenant_purges;
DROP INDEX tenants_provisioning;
DROP INDEX tenants_restorable;
ALTER TABLE tenants
    DROP CONSTRAINT tenants_deleted_check,
    DROP COLUMN restore_to,
    DROP COLUMN purge_after,
    DROP COLUMN deleted_at;
DROP TABLE tenant_schema_target;
DROP TABLE tenant_migrations;
