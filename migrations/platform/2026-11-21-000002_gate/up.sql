-- gate: the only way out of a tenant's transaction. Its functions and views are in migrations/gate. Tenant roles are members of
-- bulkhead_tenants, so that adding one does not touch the privileges of these objects.
GRANT USAGE ON SCHEMA gate TO bulkhead_tenants;
