DROP TABLE audit_anchors;
DROP TABLE audit_keys;
DROP TABLE audit_links;
DROP TABLE audit_chains;

ALTER TABLE tenant_audit_log DROP COLUMN act;

REVOKE INSERT (id, at, actor, act, action, target, request_id, address, changes) ON audit_log FROM bulkhead_platform_rw;
ALTER TABLE audit_log
    DROP COLUMN xid,
    DROP COLUMN address,
    DROP COLUMN act;
GRANT INSERT ON audit_log TO bulkhead_platform_rw;
