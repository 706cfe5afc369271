-- Who acts through the actor, from where, and in which transaction an entry was written.

ALTER TABLE audit_log
    ADD COLUMN act text,
    ADD COLUMN address text,
    ADD COLUMN xid xid8;
-- Entries of before have none: a default that is there from the beginning would rewrite the table.
ALTER TABLE audit_log ALTER COLUMN xid SET DEFAULT pg_current_xact_id();

CREATE INDEX audit_log_xid ON audit_log (xid) WHERE xid IS NOT NULL;

-- The tenant says what it did, and not in which transaction.
REVOKE INSERT ON audit_log FROM :"tenant";
GRANT INSERT (id, at, actor, act, action, target, request_id, address, changes) ON audit_log TO :"tenant";
