CREATE INDEX tenant_schema_versions_version ON tenant_schema_versions (version);
DROP TABLE migration_runs;
