WITH new AS (
    INSERT INTO scaling_decisions (id, tenant_id, minute, action, current_units, target_units,
        requests_per_minute, p95_ms, reason)
    SELECT d.id, d.tenant_id, $1, d.action, d.current_units, d.target_units, d.rpm, d.p95, d.reason
    FROM unnest($2, $3, $4, $5, $6, $7, $8, $9)
        AS d (id, tenant_id, action, current_units, target_units, rpm, p95, reason)
    ON CONFLICT (tenant_id, minute) DO NOTHING
    RETURNING tenant_id, action, target_units
),
moved AS (
    INSERT INTO scaling_states (tenant_id, units, changed_at)
    SELECT tenant_id, target_units, $1 FROM new WHERE action <> 'hold' ORDER BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE SET units = excluded.units, changed_at = excluded.changed_at
)
SELECT count(*) AS n FROM new
