-- Programs look here before they serve whether a run of migrate has come to its end for them.

CREATE TABLE migration_runs (
    program text PRIMARY KEY,
    finished_at timestamptz NOT NULL
);
COMMENT ON TABLE migration_runs IS 'The programs for which bulkhead migrate has come to its end.';
COMMENT ON COLUMN migration_runs.program IS 'The SHA-256 of all migrations of the program.';

GRANT SELECT ON migration_runs TO bulkhead_platform_rw;

-- Since fleet_target, which tenants lack something is known by what each of them has.
DROP INDEX tenant_schema_versions_version;
