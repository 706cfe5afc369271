-- The tenant itself.
CREATE OR REPLACE VIEW gate.tenant_profile WITH (security_barrier) AS
SELECT t.id, t.slug, t.name, t.plan, coalesce(t.requests_per_minute, p.requests_per_minute) AS requests_per_minute,
       coalesce(t.burst, p.burst) AS burst, t.created_at
FROM platform.tenants t JOIN platform.plans p ON p.name = t.plan
WHERE t.role_name = current_user;
GRANT SELECT ON gate.tenant_profile TO bulkhead_tenants;
