-- Counts one mail of the tenant's, unless it has sent `most` in this hour; whether it was counted.
CREATE OR REPLACE FUNCTION gate.take_mail(most integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_hour timestamptz := date_trunc('hour', clock_timestamp(), 'UTC');
    taken integer;
BEGIN
    INSERT INTO platform.hourly_shares AS share (owner, hour, used) VALUES (gate.tenant(), this_hour, 1)
    ON CONFLICT (owner) DO UPDATE
        SET used = CASE WHEN share.hour = excluded.hour THEN share.used + 1 ELSE 1 END, hour = excluded.hour
        WHERE share.hour <> excluded.hour OR share.used < most
    RETURNING share.used INTO taken;
    RETURN taken IS NOT NULL;
END
$$;
REVOKE ALL ON FUNCTION gate.take_mail FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.take_mail TO bulkhead_tenants;
