SELECT t.id, t.slug, t.name, d.meter, m.unit, sum(d.quantity) AS quantity
FROM (SELECT id, coalesce(tenant_purges.slug, tenants.slug) AS slug, name
      FROM tenants LEFT JOIN tenant_purges ON tenant_id = id WHERE id > $1 ORDER BY id LIMIT $2) t
LEFT JOIN usage_days d ON d.tenant_id = t.id AND d.day >= $3 AND d.day < $4
LEFT JOIN meters m ON m.name = d.meter
GROUP BY t.id, t.slug, t.name, d.meter, m.unit ORDER BY t.id, d.meter
