SELECT t.id, w.requests, w.latency, p.high_requests_per_minute, p.low_requests_per_minute, p.high_p95_ms,
    p.low_p95_ms, p.min_units, p.max_units, p.cooldown_seconds, s.units, s.changed_at
FROM tenants t
LEFT JOIN scaling_policies p ON p.tenant_id = t.id
LEFT JOIN scaling_states s ON s.tenant_id = t.id
LEFT JOIN LATERAL (
    SELECT sum(requests)::bigint AS requests, ARRAY[
        sum(latency[1]), sum(latency[2]), sum(latency[3]), sum(latency[4]), sum(latency[5]), sum(latency[6]),
        sum(latency[7]), sum(latency[8]), sum(latency[9]), sum(latency[10]), sum(latency[11]),
        sum(latency[12]), sum(latency[13]), sum(latency[14]), sum(latency[15]), sum(latency[16]),
        sum(latency[17]), sum(latency[18]), sum(latency[19]), sum(latency[20]), sum(latency[21]),
        sum(latency[22]), sum(latency[23]), sum(latency[24])]::bigint[] AS latency
    FROM request_minutes
    WHERE tenant_id = t.id AND minute >= $1 AND minute < $2
    HAVING count(*) > 0
) w ON true
WHERE t.status = 'active' AND t.id > $3
    AND (w.requests > 0 OR s.units > coalesce(p.min_units, $5))
ORDER BY t.id LIMIT $4
