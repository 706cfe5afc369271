ALTER TABLE tenant_audit_log DROP COLUMN act;

REVOKE INSERT (id, at, actor, act, action, target, request_id, address, changes) ON audit_log FROM bulkhead_platform_rw;
DROP INDEX audit_log_request;
DROP INDEX audit_log_action;
DROP INDEX audit_log_target;
DROP INDEX audit_log_actor;
ALTER TABLE audit_log
    DROP COLUMN xid,
    DROP COLUMN address,
    DROP COLUMN act;
GRANT INSERT ON audit_log TO bulkhead_platform_rw;
