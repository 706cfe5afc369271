-- What was decided about the tenant's units.
CREATE OR REPLACE VIEW gate.scaling_decisions WITH (security_barrier) AS
SELECT id, minute, action, current_units, target_units, requests_per_minute, p95_ms, reason
FROM platform.scaling_decisions
WHERE tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);
GRANT SELECT ON gate.scaling_decisions TO bulkhead_tenants;
