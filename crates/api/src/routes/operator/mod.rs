//! What operators do.

pub(crate) mod tenants;
pub(crate) mod usage;
