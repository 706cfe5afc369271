//! What operators do.

mod tenants;
mod usage;
