-- As dated migrations made gate, before it had texts of its own.
CREATE FUNCTION gate.tenant() RETURNS uuid
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

CREATE FUNCTION gate.enqueue_job(
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

CREATE FUNCTION gate.finish_job(job_id uuid, token uuid, outcome jsonb) RETURNS void
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

CREATE FUNCTION gate.revoke(kind text, id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF kind NOT IN ('user', 'api_key', 'session') THEN
        RAISE EXCEPTION 'tenants may not revoke a %', kind USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO platform.revocations (tenant_id, subject, subject_id) VALUES (gate.tenant(), kind, id);
END
$$;

CREATE VIEW gate.jobs WITH (security_barrier) AS
SELECT id, kind, state, attempts, max_attempts, run_at, progress, result, error, created_at, finished_at
FROM platform.jobs
WHERE tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);

CREATE VIEW gate.usage_hours WITH (security_barrier) AS
SELECT meter, hour, quantity FROM platform.usage_hours
WHERE tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);

CREATE VIEW gate.usage_days WITH (security_barrier) AS
SELECT meter, day, quantity FROM platform.usage_days
WHERE tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);

CREATE VIEW gate.request_minutes WITH (security_barrier) AS
SELECT minute, route, status_class, requests, compute_micros, ingress_bytes, egress_bytes, latency
FROM platform.request_minutes
WHERE tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);

CREATE VIEW gate.scaling_decisions WITH (security_barrier) AS
SELECT id, minute, action, current_units, target_units, requests_per_minute, p95_ms, reason
FROM platform.scaling_decisions
WHERE tenant_id = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);

CREATE VIEW gate.tenant_profile WITH (security_barrier) AS
SELECT t.id, t.slug, t.name, t.plan, coalesce(t.requests_per_minute, p.requests_per_minute) AS requests_per_minute,
       coalesce(t.burst, p.burst) AS burst, t.created_at
FROM platform.tenants t JOIN platform.plans p ON p.name = t.plan
WHERE t.role_name = current_user;

-- Tenant roles are members of bulkhead_tenants, so that adding one does not touch the privileges of these objects.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA gate FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.tenant, gate.enqueue_job, gate.finish_job, gate.revoke TO bulkhead_tenants;
GRANT SELECT ON gate.jobs, gate.usage_hours, gate.usage_days, gate.request_minutes, gate.scaling_decisions,
    gate.tenant_profile TO bulkhead_tenants;

CREATE VIEW gate.plan_limits WITH (security_barrier) AS
SELECT p.max_users, p.max_api_keys
FROM platform.tenants t JOIN platform.plans p ON p.name = t.plan
WHERE t.role_name = current_user;
GRANT SELECT ON gate.plan_limits TO bulkhead_tenants;


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

CREATE VIEW gate.meters WITH (security_barrier) AS
SELECT name, unit FROM platform.meters;
GRANT SELECT ON gate.meters TO bulkhead_tenants;

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
