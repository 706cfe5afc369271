REVOKE USAGE ON SCHEMA gate FROM bulkhead_tenants;
DROP VIEW gate.tenant_profile, gate.scaling_decisions, gate.request_minutes, gate.usage_days, gate.usage_hours, gate.jobs;
DROP FUNCTION gate.revoke, gate.finish_job, gate.enqueue_job, gate.tenant;
