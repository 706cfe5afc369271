-- Every meter and its unit; the same for all tenants.
CREATE OR REPLACE VIEW gate.meters WITH (security_barrier) AS
SELECT name, unit FROM platform.meters;
GRANT SELECT ON gate.meters TO bulkhead_tenants;
