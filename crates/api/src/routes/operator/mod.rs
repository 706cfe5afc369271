//! What operators do.

pub(crate) mod audit;
pub(crate) mod signing_keys;
pub(crate) mod tenants;
pub(crate) mod usage;
