//! What operators do.

pub(crate) mod identity_providers;
pub(crate) mod signing_keys;
pub(crate) mod tenants;
pub(crate) mod usage;
