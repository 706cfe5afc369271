//! What operators do.

mod lifecycle;
mod tenants;
mod usage;
