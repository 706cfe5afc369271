//! Second factors of the tenant's people.

crate::second_factor::second_factor_queries!(
    crate::engine::scope::TenantTx,
    crate::schema::tenant::second_factors,
    bulkhead_domain::UserId
);
