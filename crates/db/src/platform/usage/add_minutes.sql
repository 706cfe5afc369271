INSERT INTO request_minutes AS old (tenant_id, minute, route, status_class, requests, compute_micros,
    ingress_bytes, egress_bytes, latency)
SELECT n.tenant_id, n.minute, n.route, n.status_class, n.requests, n.compute_micros, n.ingress_bytes,
    n.egress_bytes, ($9)[(n.i - 1) * $10 + 1 : n.i * $10]
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) WITH ORDINALITY
    AS n (tenant_id, minute, route, status_class, requests, compute_micros, ingress_bytes, egress_bytes, i)
ON CONFLICT (tenant_id, minute, route, status_class) DO UPDATE SET
    requests = old.requests + excluded.requests,
    compute_micros = old.compute_micros + excluded.compute_micros,
    ingress_bytes = old.ingress_bytes + excluded.ingress_bytes,
    egress_bytes = old.egress_bytes + excluded.egress_bytes,
    latency = add_counts(old.latency, excluded.latency)
