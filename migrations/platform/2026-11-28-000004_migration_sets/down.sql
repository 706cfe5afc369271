-- What comes before knows one set, and of each tenant the newest version. A schema that is being built is waited for, or its row
-- would say a version that what comes before takes for the newest.
LOCK TABLE tenant_schema_versions, schema_pool, tenant_migrations, tenant_schema_target, fleet_migrations, fleet_target
    IN ACCESS EXCLUSIVE MODE;
DO $$
BEGIN
    IF EXISTS (SELECT FROM tenant_schema_versions v JOIN fleet_migrations m ON v.applied @> m.id WHERE m.set_name <> 'core') THEN
        RAISE EXCEPTION 'tenants have migrations of extensions, and what comes before would forget which';
    END IF;
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT applied FROM tenant_schema_versions) AS had
        JOIN fleet_migrations older ON older.set_name = 'core' AND NOT had.applied @> older.id
        JOIN fleet_migrations newer ON newer.set_name = 'core' AND had.applied @> newer.id AND newer.version > older.version
    ) THEN
        RAISE EXCEPTION 'tenants lack a migration that is older than one they have, and what comes before would never apply it: run bulkhead migrate first';
    END IF;
END
$$;
DELETE FROM tenant_schema_target;
DELETE FROM tenant_migrations WHERE format <> 1;
INSERT INTO tenant_migrations (version, name, format, up)
SELECT version::text, name, 1, up FROM fleet_migrations WHERE set_name = 'core' AND format = 1
ON CONFLICT (version) DO NOTHING;
INSERT INTO tenant_schema_target (version)
SELECT max(m.version)::text FROM fleet_migrations m, fleet_target WHERE m.set_name = 'core' AND wanted @> m.id
HAVING count(*) > 0;
UPDATE tenant_schema_versions v SET version = coalesce(
    (SELECT max(m.version)::text FROM fleet_migrations m WHERE m.set_name = 'core' AND v.applied @> m.id), '');
-- A schema of the pool that has something else than those of one version is built anew.
UPDATE schema_pool p SET version = coalesce((
    SELECT max(m.version)::text FROM fleet_migrations m, fleet_target
    WHERE m.set_name = 'core' AND p.applied @> m.id AND p.applied = wanted), '');

REVOKE SELECT (applied) ON schema_pool FROM bulkhead_platform_rw;
COMMENT ON TABLE tenant_migrations IS
    'The migrations of a tenant''s schema, as the program that migrated last knows them: an older one builds with these.';
COMMENT ON TABLE tenant_schema_target IS
    'The version that every tenant is built at. Written by bulkhead migrate under the fleet''s lock, read under the same '
    'lock by whoever builds; it only ever rises.';
COMMENT ON COLUMN schema_pool.version IS 'The newest tenant migration that the schema has.';
ALTER TABLE schema_pool DROP COLUMN applied;
COMMENT ON COLUMN tenant_schema_versions.version IS NULL;
COMMENT ON TABLE tenant_schema_versions IS
    'The newest tenant migration that each schema has, and why the next one failed if it did.';
ALTER TABLE tenant_schema_versions DROP COLUMN applied;
DROP TABLE fleet_target, fleet_migrations;
