REVOKE USAGE ON SCHEMA platform FROM bulkhead_platform_rw;
DROP TABLE idempotency_keys, audit_log, scaling_decisions, scaling_states, scaling_policies, request_minutes, usage_days,
    usage_hours, usage_batches_rejected, usage_batches, jobs, job_kinds, nodes, revocations, signing_keys,
    operator_sessions, operators, tenant_schema_versions, pending_owners, tenants, databases, plans;
DROP FUNCTION add_counts;
