//! Idempotency keys of operators.

crate::idempotency::idempotency_queries!(
    crate::engine::scope::PlatformTx,
    crate::schema::platform::idempotency_keys
);
