REVOKE INSERT (id, at, actor, act, action, target, request_id, address, changes) ON audit_log FROM :"tenant";
ALTER TABLE audit_log
    DROP COLUMN xid,
    DROP COLUMN address,
    DROP COLUMN act;
GRANT INSERT ON audit_log TO :"tenant";
