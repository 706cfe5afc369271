-- Makes every node forget, within seconds of the commit, what it remembers of the tenant: its roles for instance. One
-- announcement stands for all before it, so that a tenant that changes all day does not fill the table.
CREATE OR REPLACE FUNCTION gate.announce_change() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me uuid := gate.tenant();
BEGIN
    DELETE FROM platform.revocations
    WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000') = me AND subject = 'tenant';
    INSERT INTO platform.revocations (tenant_id, subject, subject_id) VALUES (me, 'tenant', me);
END
$$;
REVOKE ALL ON FUNCTION gate.announce_change FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.announce_change TO bulkhead_tenants;
