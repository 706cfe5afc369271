-- From which transaction on the tenant's entries may not be chained yet.
CREATE OR REPLACE VIEW gate.audit_chain WITH (security_barrier) AS
SELECT pg_snapshot_xmin(seen) AS unseen_from
FROM platform.audit_chains
WHERE chain = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);
GRANT SELECT ON gate.audit_chain TO bulkhead_tenants;
