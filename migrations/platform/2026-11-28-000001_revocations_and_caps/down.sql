CREATE OR REPLACE FUNCTION gate.revoke(kind text, id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF kind NOT IN ('user', 'api_key', 'session') THEN
        RAISE EXCEPTION 'tenants may not revoke a %', kind USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO platform.revocations (tenant_id, subject, subject_id) VALUES (gate.tenant(), kind, id);
END
$$;
DROP FUNCTION revoke, revocations_kept;
-- A mark cannot be kept, and what it stands for would be good again for as long as a token lives.
DO $$
BEGIN
    IF EXISTS (SELECT FROM revocations WHERE subject = 'everything' AND at > now() - interval '62 minutes') THEN
        RAISE EXCEPTION 'all tokens of a tenant were revoked within the last hour: wait until they have expired';
    END IF;
END
$$;
DELETE FROM revocations WHERE subject = 'everything';
DROP INDEX revocations_everything, revocations_group;
ALTER TABLE revocations
    DROP CONSTRAINT revocations_subject_check,
    ADD CONSTRAINT revocations_subject_check
        CHECK (subject IN ('tenant', 'user', 'api_key', 'session', 'operator'));
COMMENT ON COLUMN revocations.at IS NULL;
COMMENT ON TABLE revocations IS NULL;
DROP VIEW gate.plan_limits;
ALTER TABLE plans DROP COLUMN max_users, DROP COLUMN max_api_keys;
