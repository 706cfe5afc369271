-- The tenant's own jobs.
CREATE OR REPLACE VIEW gate.jobs WITH (security_barrier) AS
SELECT id, kind, state, attempts, max_attempts, run_at, progress, result, error, created_at, finished_at
FROM platform.jobs
WHERE tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);
GRANT SELECT ON gate.jobs TO bulkhead_tenants;
