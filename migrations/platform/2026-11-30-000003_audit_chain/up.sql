-- Who acts through the actor, from where, and in which transaction an entry was written.

ALTER TABLE audit_log
    ADD COLUMN act text,
    ADD COLUMN address text,
    ADD COLUMN xid xid8;
-- Entries of before have none: a default that is there from the beginning would rewrite the table.
ALTER TABLE audit_log ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
COMMENT ON COLUMN audit_log.act IS 'Who acts through the actor; null when the actor acts.';
COMMENT ON COLUMN audit_log.address IS 'The client''s address; null for what no client has asked for.';
COMMENT ON COLUMN audit_log.xid IS
    'The transaction that has written the entry, by which the chain knows which entries it has not seen.';

CREATE INDEX audit_log_xid ON audit_log (xid) WHERE xid IS NOT NULL;
CREATE INDEX audit_log_actor ON audit_log (actor, id);
CREATE INDEX audit_log_target ON audit_log (target, id);
CREATE INDEX audit_log_action ON audit_log (action, id);
CREATE INDEX audit_log_request ON audit_log (request_id);

REVOKE INSERT ON audit_log FROM bulkhead_platform_rw;
GRANT INSERT (id, at, actor, act, action, target, request_id, address, changes) ON audit_log TO bulkhead_platform_rw;

ALTER TABLE tenant_audit_log ADD COLUMN act text;
COMMENT ON COLUMN tenant_audit_log.act IS 'Who acted through the actor. From where is not kept: it went with the tenant''s data.';
