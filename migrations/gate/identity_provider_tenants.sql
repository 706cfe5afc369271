-- Whether the tenant takes what providers of the platform say of its people.
CREATE OR REPLACE VIEW gate.identity_provider_tenants WITH (security_barrier) AS
SELECT m.provider_id, m.tenant_id, m.default_role, m.max_role, m.created_at, m.created_by
FROM platform.identity_provider_tenants m
WHERE m.tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user)
WITH LOCAL CHECK OPTION;
ALTER VIEW gate.identity_provider_tenants ALTER COLUMN tenant_id SET DEFAULT gate.tenant();
GRANT SELECT, INSERT, UPDATE, DELETE ON gate.identity_provider_tenants TO bulkhead_tenants;
