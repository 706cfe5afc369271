//! What operators do.

mod lifecycle;
mod signing_keys;
mod tenants;
mod usage;
