-- Takes trust back from one of the tenant's people, keys or sessions.
CREATE OR REPLACE FUNCTION gate.revoke(kind text, id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF kind NOT IN ('user', 'api_key', 'session') THEN
        RAISE EXCEPTION 'tenants may not revoke a %', kind USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM platform.revoke(gate.tenant(), kind, id);
END
$$;
REVOKE ALL ON FUNCTION gate.revoke FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.revoke TO bulkhead_tenants;
