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
ALTER TABLE plans DROP COLUMN max_users, DROP COLUMN max_api_keys;
