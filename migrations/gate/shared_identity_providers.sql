-- The platform's identity providers, as far as tenants may know them.
DROP VIEW IF EXISTS gate.shared_identity_providers;
CREATE VIEW gate.shared_identity_providers WITH (security_barrier) AS
SELECT p.id, p.name, p.kind, p.issuer, p.enabled, p.settings FROM platform.identity_providers p WHERE p.tenant_id IS NULL;
GRANT SELECT ON gate.shared_identity_providers TO bulkhead_tenants;
