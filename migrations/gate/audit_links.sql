-- The places of the tenant's own entries in its chain, with what is needed to compute their hashes and to find them.
CREATE OR REPLACE VIEW gate.audit_links WITH (security_barrier) AS
SELECT sequence, entry_id, address_salt, address_commitment, changes_salt, changes_commitment, hash,
       actor_key, action_key, target_key, request_key
FROM platform.audit_links
WHERE chain = (SELECT t.id FROM platform.tenants t WHERE t.role_name = current_user);
GRANT SELECT ON gate.audit_links TO bulkhead_tenants;
