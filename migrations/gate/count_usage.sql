-- Counts what the tenant is billed for, in the transaction that does it.
CREATE OR REPLACE FUNCTION gate.count_usage(what text, how_much numeric) RETURNS void
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
