-- The tenant's own usage by the hour.
CREATE OR REPLACE VIEW gate.usage_hours WITH (security_barrier) AS
SELECT meter, hour, quantity FROM platform.usage_hours
WHERE tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);
GRANT SELECT ON gate.usage_hours TO bulkhead_tenants;
