INSERT INTO usage_batches_rejected (entry, payload, reason, authentic, bytes, sha256)
SELECT $1, CASE WHEN $4 THEN $2 ELSE substr($2, 1, $6) END, $3, $4, $5,
       CASE WHEN $5 = length($2) THEN sha256($2) END
WHERE NOT $4 OR NOT EXISTS (SELECT FROM usage_batches_rejected WHERE authentic AND sha256 = sha256($2))
ON CONFLICT (entry) DO NOTHING
