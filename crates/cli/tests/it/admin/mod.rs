//! What operators do.

mod impersonation;
mod lifecycle;
mod operator_keys;
mod operators;
mod signing_keys;
mod tenants;
mod usage;
