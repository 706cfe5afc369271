UPDATE jobs SET
    state = CASE WHEN recurs_every IS NOT NULL OR attempts < max_attempts THEN 'queued' ELSE 'failed' END,
    finished_at = CASE WHEN recurs_every IS NOT NULL OR attempts < max_attempts THEN NULL
                       ELSE clock_timestamp() END,
    error = 'the process that ran the job went away', pushed_at = NULL, lease_token = NULL, leased_until = NULL
FROM (
    SELECT id FROM jobs WHERE state = 'running' AND leased_until < clock_timestamp()
    ORDER BY leased_until LIMIT $1 FOR UPDATE SKIP LOCKED
) lost WHERE jobs.id = lost.id RETURNING jobs.kind, jobs.state
