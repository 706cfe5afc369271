WITH hours AS (
    INSERT INTO usage_hours AS old (tenant_id, meter, hour, quantity)
    SELECT n.tenant_id, n.meter, n.hour, n.quantity FROM unnest($1, $2, $3, $4)
        AS n (tenant_id, meter, hour, quantity)
    ON CONFLICT (tenant_id, meter, hour) DO UPDATE SET quantity = old.quantity + excluded.quantity
)
INSERT INTO usage_days AS old (tenant_id, meter, day, quantity)
SELECT n.tenant_id, n.meter, n.day, n.quantity FROM unnest($5, $6, $7, $8)
    AS n (tenant_id, meter, day, quantity)
ON CONFLICT (tenant_id, meter, day) DO UPDATE SET quantity = old.quantity + excluded.quantity
