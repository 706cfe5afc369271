//! Second factors of operators.

crate::second_factor::second_factor_queries!(
    crate::engine::scope::PlatformTx,
    crate::schema::platform::second_factors,
    bulkhead_domain::OperatorId
);
