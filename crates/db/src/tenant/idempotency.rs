//! Idempotency keys of a tenant's principals.

crate::idempotency::idempotency_queries!(
    crate::engine::scope::TenantTx,
    crate::schema::tenant::idempotency_keys
);
