WITH locked AS MATERIALIZED (
    SELECT boot, applied FROM usage_batches WHERE boot = ANY ($1) ORDER BY boot FOR UPDATE
)
SELECT boot, lower(span) AS first, upper(span) - 1 AS last
FROM (SELECT boot, range_agg(int8range(first, last, '[]')) AS seqs
      FROM unnest($2, $3, $4) AS sent (boot, first, last) GROUP BY boot) sent
JOIN locked USING (boot), unnest(locked.applied * sent.seqs) AS span
