WITH added AS (
    INSERT INTO jobs (id, kind, tenant_id, payload, max_attempts, idempotency_key)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (kind, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), idempotency_key)
        WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id
)
SELECT id FROM added UNION ALL
SELECT id FROM jobs WHERE kind = $2 AND tenant_id IS NOT DISTINCT FROM $3 AND idempotency_key = $6
