-- The tenant's own usage by the day.
CREATE OR REPLACE VIEW gate.usage_days WITH (security_barrier) AS
SELECT meter, day, quantity FROM platform.usage_days
WHERE tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);
GRANT SELECT ON gate.usage_days TO bulkhead_tenants;
