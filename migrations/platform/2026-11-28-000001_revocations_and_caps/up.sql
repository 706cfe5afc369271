-- What one tenant may take of what all tenants share: revocations that every node keeps in mind, people, API keys.

ALTER TABLE plans
    ADD COLUMN max_users integer NOT NULL DEFAULT 100 CHECK (max_users > 0),
    ADD COLUMN max_api_keys integer NOT NULL DEFAULT 50 CHECK (max_api_keys > 0);
COMMENT ON COLUMN plans.max_users IS 'How many people a tenant may have. Lowering it removes nobody; it refuses new ones.';
COMMENT ON COLUMN plans.max_api_keys IS
    'How many API keys of a tenant may work at once; revoked and expired ones do not count.';
UPDATE plans SET max_users = 5000, max_api_keys = 500 WHERE name = 'pro';
UPDATE plans SET max_users = 100000, max_api_keys = 5000 WHERE name = 'enterprise';

-- A program of before this migration cannot read 'everything' and then trusts no cached credential at all.
ALTER TABLE revocations
    DROP CONSTRAINT revocations_subject_check,
    ADD CONSTRAINT revocations_subject_check
        CHECK (subject IN ('tenant', 'user', 'api_key', 'session', 'operator', 'everything'));
COMMENT ON TABLE revocations IS
    'Trust taken back. tenant_id is null for operators, who are a group of their own. Of a group''s revocations that can '
    'still matter at most revocations_kept() stay: then one row, everything, takes their place.';
COMMENT ON COLUMN revocations.at IS
    'Tokens that were proven up to this moment of the database are no longer good. The transaction that revokes locks '
    'the row of the person, key or session first and takes the time then; the transaction that proves a token does the same.';
CREATE INDEX revocations_group ON revocations (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), at);
CREATE UNIQUE INDEX revocations_everything ON revocations (subject_id) WHERE subject = 'everything';

CREATE FUNCTION revocations_kept() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1000;
COMMENT ON FUNCTION revocations_kept IS 'How many revocations of one group are kept one by one.';

CREATE FUNCTION revoke(whose uuid, what text, which uuid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine uuid := coalesce(whose, '00000000-0000-0000-0000-000000000000');
    -- The longest life of a token is an hour; nodes remember a revocation a little longer.
    since timestamptz := clock_timestamp() - interval '62 minutes';
    kept bigint;
    mark timestamptz;
BEGIN
    INSERT INTO platform.revocations (tenant_id, subject, subject_id) VALUES (whose, what, which);
    SELECT count(*) INTO kept FROM platform.revocations
    WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000') = mine AND at > since
      AND subject IN ('user', 'api_key', 'session', 'operator');
    IF kept <= platform.revocations_kept() THEN
        RETURN;
    END IF;
    -- Whoever does the same at this moment waits here for the other's commit.
    INSERT INTO platform.revocations AS r (tenant_id, subject, subject_id, at)
    VALUES (whose, 'everything', mine, clock_timestamp())
    ON CONFLICT (subject_id) WHERE subject = 'everything'
    DO UPDATE SET xid = excluded.xid, at = greatest(r.at, excluded.at)
    RETURNING r.at INTO mark;
    -- What was committed while this one waited may be younger than the mark, and then stays.
    DELETE FROM platform.revocations
    WHERE coalesce(tenant_id, '00000000-0000-0000-0000-000000000000') = mine AND at <= mark
      AND subject IN ('user', 'api_key', 'session', 'operator');
END
$$;
COMMENT ON FUNCTION revoke IS
    'Takes trust back: of a tenant''s person, key or session, or, with no tenant, of an operator or an operator''s session.';
GRANT EXECUTE ON FUNCTION revocations_kept, revoke TO bulkhead_platform_rw;
