-- Which of the tenant's entries are chained: those that this snapshot sees.
CREATE OR REPLACE VIEW gate.audit_chain WITH (security_barrier) AS
SELECT seen
FROM platform.audit_chains
WHERE chain = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);
GRANT SELECT ON gate.audit_chain TO bulkhead_tenants;
