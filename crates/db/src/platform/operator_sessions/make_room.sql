WITH gone AS (DELETE FROM operator_sessions WHERE id = ANY (ARRAY(
    SELECT id FROM operator_sessions WHERE operator_id = $1
    AND (expires_at < now() OR revoked_at < now() - interval '2 hours')
    LIMIT 100 FOR UPDATE SKIP LOCKED)))
UPDATE operator_sessions SET revoked_at = clock_timestamp() WHERE id = ANY (ARRAY(
    SELECT id FROM operator_sessions WHERE id = ANY (ARRAY(
        SELECT id FROM operator_sessions WHERE operator_id = $1 AND revoked_at IS NULL AND expires_at >= now()
        ORDER BY created_at DESC, id DESC OFFSET $2))
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED))
RETURNING id
