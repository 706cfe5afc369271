-- The tenant whose role is in force. Everything else in gate that acts for a tenant asks this.
CREATE OR REPLACE FUNCTION gate.tenant() RETURNS uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- SECURITY DEFINER replaces current_user, but leaves the role that SET LOCAL ROLE put in force in this setting.
    found uuid := (SELECT id FROM platform.tenants WHERE role_name = current_setting('role'));
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION 'no tenant role is in force' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN found;
END
$$;
REVOKE ALL ON FUNCTION gate.tenant FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.tenant TO bulkhead_tenants;
