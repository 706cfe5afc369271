WITH found AS (
    (SELECT 0 AS rank, tenants.* FROM tenants WHERE slug = $1 AND status IN ('active', 'suspended'))
    UNION ALL
    (SELECT 1, tenants.* FROM tenants WHERE status = 'active' AND slug >= $2 ORDER BY slug LIMIT 1)
    UNION ALL
    (SELECT 2, tenants.* FROM tenants WHERE status = 'active' ORDER BY slug LIMIT 1))
SELECT found.id, found.status,
       coalesce(found.requests_per_minute, plans.requests_per_minute) AS requests_per_minute,
       coalesce(found.burst, plans.burst) AS burst, rank = 0 AS is_it
FROM found JOIN plans ON plans.name = found.plan ORDER BY rank LIMIT 1
