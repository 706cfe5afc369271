WITH RECURSIVE
held AS (
    SELECT lane, count(*) AS n FROM jobs
    WHERE pushed_at IS NOT NULL AND state IN ('queued', 'running') GROUP BY lane
),
room AS (SELECT greatest(least($1, $2 - coalesce((SELECT sum(n) FROM held), 0)), 0)::bigint AS n),
lanes (lane) AS (
    (SELECT lane FROM jobs
     WHERE state = 'queued' AND pushed_at IS NULL AND run_at <= now() AND lane > $4 ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT j.lane FROM jobs j
            WHERE j.state = 'queued' AND j.pushed_at IS NULL AND j.run_at <= now() AND j.lane > lanes.lane
            ORDER BY j.lane LIMIT 1)
    FROM lanes WHERE lanes.lane IS NOT NULL
),
visited AS (SELECT lane FROM lanes WHERE lane IS NOT NULL LIMIT $5),
chosen AS (
    SELECT due.id FROM visited LEFT JOIN held USING (lane)
    CROSS JOIN LATERAL (
        SELECT j.id, j.run_at, coalesce(held.n, 0) + row_number() OVER (ORDER BY j.run_at, j.id) AS turn
        FROM jobs j
        WHERE j.lane = visited.lane AND j.state = 'queued' AND j.pushed_at IS NULL AND j.run_at <= now()
        ORDER BY j.run_at, j.id LIMIT greatest($3 - coalesce(held.n, 0), 0)
    ) due
    ORDER BY due.turn, due.run_at LIMIT (SELECT n FROM room)
),
taken AS (
    SELECT id FROM jobs
    WHERE id = ANY (ARRAY(SELECT id FROM chosen)) AND state = 'queued' AND num_nulls(pushed_at) = 1
    FOR UPDATE SKIP LOCKED
),
pushed AS (
    UPDATE jobs SET pushed_at = clock_timestamp() FROM taken WHERE jobs.id = taken.id
    RETURNING jobs.id, jobs.lane
)
SELECT pushed.id, pushed.lane, reached.next FROM pushed,
    (SELECT CASE WHEN count(*) = $5 THEN max(lane) ELSE '' END AS next FROM visited) reached
