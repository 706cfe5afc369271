-- The tenant's own requests by the minute.
CREATE OR REPLACE VIEW gate.request_minutes WITH (security_barrier) AS
SELECT minute, route, status_class, requests, compute_micros, ingress_bytes, egress_bytes, latency
FROM platform.request_minutes
WHERE tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);
GRANT SELECT ON gate.request_minutes TO bulkhead_tenants;
