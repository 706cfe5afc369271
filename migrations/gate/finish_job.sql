-- Ends a job of the tenant in the transaction that has its effect.
CREATE OR REPLACE FUNCTION gate.finish_job(job_id uuid, token uuid, outcome jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me uuid := gate.tenant();
BEGIN
    UPDATE platform.jobs
    SET state = 'succeeded', progress = 100, result = outcome, error = NULL, finished_at = clock_timestamp(),
        lease_token = NULL, leased_until = NULL
    WHERE id = job_id AND tenant_id = me AND state = 'running' AND lease_token = token;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % is not leased under this token', job_id USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION gate.finish_job FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.finish_job TO bulkhead_tenants;
