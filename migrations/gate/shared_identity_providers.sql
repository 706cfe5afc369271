-- The platform's identity providers, as far as tenants may know them, and what the tenant has said to each.
CREATE OR REPLACE VIEW gate.shared_identity_providers WITH (security_barrier) AS
SELECT p.id, p.name, p.kind, p.issuer, p.enabled, m.default_role, m.max_role, m.created_at AS joined_at
FROM platform.identity_providers p
LEFT JOIN platform.identity_provider_tenants m ON m.provider_id = p.id
    AND m.tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user)
WHERE p.tenant_id IS NULL;
GRANT SELECT ON gate.shared_identity_providers TO bulkhead_tenants;
