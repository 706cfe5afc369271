-- Lets operators act as the tenant's people, or lets them no longer: every node forgets within seconds what it remembers of the
-- tenant, and looks then.
CREATE OR REPLACE FUNCTION gate.allow_impersonation(allowed boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE platform.tenants SET impersonation = allowed WHERE id = gate.tenant();
    PERFORM gate.announce_change();
END
$$;
REVOKE ALL ON FUNCTION gate.allow_impersonation FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.allow_impersonation TO bulkhead_tenants;
