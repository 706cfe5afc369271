-- Meters are open: programs declare them, and what one program counts any other carries and shows.

CREATE TABLE meters (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    unit text NOT NULL CHECK (unit ~ '^[a-z][a-z0-9-]{0,31}$'),
    kind text NOT NULL CHECK (kind IN ('count', 'amount'))
);
COMMENT ON TABLE meters IS
    'Every meter that a program which has migrated this database declares or declared. None is ever removed: a program that '
    'does not know a meter reads its unit here.';
COMMENT ON COLUMN meters.kind IS 'count: whole things; amount: what is measured, to the thousandth of the unit.';
GRANT SELECT ON meters TO bulkhead_platform_rw;

CREATE VIEW gate.meters WITH (security_barrier) AS
SELECT name, unit FROM platform.meters;
GRANT SELECT ON gate.meters TO bulkhead_tenants;

CREATE TABLE usage_counts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid NOT NULL,
    meter text NOT NULL CHECK (meter ~ '^[a-z][a-z0-9_]{0,62}$'),
    at timestamptz NOT NULL DEFAULT now(),
    quantity numeric NOT NULL
        CHECK (quantity > 0 AND quantity <= 1000000000000 AND quantity = round(quantity, 3))
);
COMMENT ON TABLE usage_counts IS
    'What tenants'' transactions have counted and is not in the rollups yet: the transaction that adds a row to them deletes it. '
    'Only gate.count_usage adds rows, and nothing changes one.';
COMMENT ON COLUMN usage_counts.at IS 'When the transaction that has counted it began; it is billed in that hour.';
-- To lock what is folded takes the right to change a column.
GRANT SELECT, DELETE, UPDATE (at) ON usage_counts TO bulkhead_platform_rw;

CREATE FUNCTION gate.count_usage(what text, how_much numeric) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me uuid := gate.tenant();
BEGIN
    IF what IS NULL OR what !~ '^[a-z][a-z0-9_]{0,62}$' THEN
        RAISE EXCEPTION 'a meter''s name is a to z, then a to z, 0 to 9 and _, at most 63 in all'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF how_much IS NULL OR NOT (how_much > 0 AND how_much <= 1000000000000 AND how_much = round(how_much, 3)) THEN
        RAISE EXCEPTION 'a quantity is more than 0 and at most 1000000000000, to the thousandth'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF how_much <> trunc(how_much) AND EXISTS (SELECT FROM platform.meters WHERE name = what AND kind = 'count') THEN
        RAISE EXCEPTION 'the meter % counts whole things', what USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO platform.usage_counts (tenant_id, meter, quantity) VALUES (me, what, how_much);
END
$$;
REVOKE ALL ON FUNCTION gate.count_usage FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.count_usage TO bulkhead_tenants;
