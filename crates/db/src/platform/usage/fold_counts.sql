WITH taken AS (
    DELETE FROM usage_counts WHERE id = ANY (ARRAY(
        SELECT id FROM usage_counts ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING tenant_id, meter, at, quantity
)
SELECT tenant_id, meter, floor(extract(epoch FROM at) / 3600)::bigint AS hour,
    trunc(sum(quantity) * 1000)::text AS milli, count(*) AS counts
FROM taken GROUP BY 1, 2, 3
