-- Lets a tenant's transaction ask for a job of a kind that tenants may ask for.
CREATE OR REPLACE FUNCTION gate.enqueue_job(
    job_id uuid, job_kind text, job_payload jsonb, attempts_allowed integer, key text, due timestamptz
) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me uuid := gate.tenant();
    enqueued uuid;
BEGIN
    IF NOT EXISTS (SELECT FROM platform.job_kinds WHERE kind = job_kind AND by_tenants) THEN
        RAISE EXCEPTION 'tenants may not enqueue %', job_kind USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF octet_length(job_payload::text) > 65536 THEN
        RAISE EXCEPTION 'job payload is over 64 KiB' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts, idempotency_key, run_at)
    VALUES (job_id, job_kind, me, job_payload, least(attempts_allowed, 25), key, coalesce(due, now()))
    ON CONFLICT (kind, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), idempotency_key)
        WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id INTO enqueued;
    RETURN coalesce(
        enqueued,
        (SELECT id FROM platform.jobs WHERE kind = job_kind AND tenant_id = me AND idempotency_key = key)
    );
END
$$;
REVOKE ALL ON FUNCTION gate.enqueue_job FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.enqueue_job TO bulkhead_tenants;
