-- The tenant's own identity providers: it reads and writes rows of its own and no others.
CREATE OR REPLACE VIEW gate.identity_providers WITH (security_barrier) AS
SELECT p.id, p.tenant_id, p.name, p.kind, p.issuer, p.audience, p.client_id, p.sealed_client_secret, p.settings, p.enabled,
       p.version, p.created_at, p.updated_at, p.created_by
FROM platform.identity_providers p
WHERE p.tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user)
WITH LOCAL CHECK OPTION;
ALTER VIEW gate.identity_providers ALTER COLUMN tenant_id SET DEFAULT gate.tenant();
GRANT SELECT, INSERT, UPDATE, DELETE ON gate.identity_providers TO bulkhead_tenants;
