-- What the tenant may have by its plan.
CREATE OR REPLACE VIEW gate.plan_limits WITH (security_barrier) AS
SELECT p.max_users, p.max_api_keys
FROM platform.tenants t JOIN platform.plans p ON p.name = t.plan
WHERE t.role_name = current_user;
GRANT SELECT ON gate.plan_limits TO bulkhead_tenants;
