SELECT
(SELECT count(*) FROM (SELECT FROM jobs WHERE state = 'queued' AND pushed_at IS NULL AND run_at <= now()
                       LIMIT $1) due)
+ (SELECT count(*) FROM jobs WHERE state = 'queued' AND pushed_at IS NOT NULL AND run_at <= now()) AS due,
(SELECT count(*) FROM jobs WHERE pushed_at IS NOT NULL AND state IN ('queued', 'running')) AS outstanding,
coalesce(extract(epoch FROM now() - least(
    (SELECT min(run_at) FROM jobs WHERE state = 'queued' AND pushed_at IS NULL AND run_at <= now()),
    (SELECT min(run_at) FROM jobs WHERE state = 'queued' AND pushed_at IS NOT NULL AND run_at <= now())
)), 0)::bigint AS oldest_due_seconds
