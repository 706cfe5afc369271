-- Which migrations each tenant's schema has, one by one and by the set that they come from.

CREATE TABLE fleet_migrations (
    id integer PRIMARY KEY CHECK (id > 0),
    set_name text NOT NULL,
    place integer NOT NULL,
    version bigint NOT NULL,
    name text NOT NULL,
    format smallint NOT NULL,
    up text NOT NULL,
    UNIQUE (set_name, version)
);
COMMENT ON TABLE fleet_migrations IS
    'Every migration of a tenant''s schema that this database has met. Tenants are built and migrated with this SQL.';
COMMENT ON COLUMN fleet_migrations.id IS 'Stands for the migration in fleet_target.wanted and in every applied.';
COMMENT ON COLUMN fleet_migrations.place IS
    'Where the set stands among the sets of the program that was the last to enter one: a tenant gets set after set.';
COMMENT ON COLUMN fleet_migrations.format IS
    'How up is to be read; a program that does not know the format leaves the building to one that does.';

CREATE TABLE fleet_target (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    wanted int4multirange NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE fleet_target IS
    'The migrations that every tenant is to have. Written by bulkhead migrate under the fleet''s lock, read under the same '
    'lock by every process that builds.';

ALTER TABLE tenant_schema_versions ADD COLUMN applied int4multirange NOT NULL DEFAULT '{}';
COMMENT ON TABLE tenant_schema_versions IS
    'The migrations that each schema has, and why the next one failed if it did.';
COMMENT ON COLUMN tenant_schema_versions.version IS
    'What programs of before fleet_target read: a version that is newer than any of theirs.';

ALTER TABLE schema_pool ADD COLUMN applied int4multirange NOT NULL DEFAULT '{}';
COMMENT ON COLUMN schema_pool.version IS
    'What programs of before fleet_target read: a version that is newer than any of theirs.';

COMMENT ON TABLE tenant_schema_target IS
    'What programs of before fleet_target read: a version that is newer than any of theirs.';
COMMENT ON TABLE tenant_migrations IS
    'What programs of before fleet_target read: one entry is in a format that they cannot read, so that they build no tenant.';

GRANT SELECT ON fleet_target TO bulkhead_platform_rw;
GRANT SELECT (id, set_name, place, version, name) ON fleet_migrations TO bulkhead_platform_rw;
GRANT SELECT (applied) ON schema_pool TO bulkhead_platform_rw;
