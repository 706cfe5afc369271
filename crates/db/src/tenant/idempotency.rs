//! Idempotency keys of a tenant's principals.

crate::idempotency::idempotency_queries!(crate::scope::TenantTx, crate::schema::tenant::idempotency_keys);
