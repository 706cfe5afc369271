-- What the tenant's owners decide of the platform's doings.
CREATE OR REPLACE VIEW gate.tenant_settings WITH (security_barrier) AS
SELECT t.impersonation
FROM platform.tenants t
WHERE t.role_name = current_user;
GRANT SELECT ON gate.tenant_settings TO bulkhead_tenants;
