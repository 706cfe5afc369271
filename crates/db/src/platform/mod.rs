//! Queries on the platform's own tables; each takes a [`crate::PlatformTx`], or an [`crate::OwnerTx`] where it says so.
//! A statement of more than eight lines is a SQL file, in a directory named like the module, under its function's name.

pub mod audit;
pub mod audit_keys;
pub mod idempotency;
pub mod identity_providers;
pub mod lifecycle;
pub mod nodes;
pub mod operator_keys;
pub mod operator_roles;
pub mod operator_sessions;
pub mod operators;
pub mod plans;
pub mod queue;
pub mod retention;
pub mod revocations;
pub mod root_keys;
pub mod scaling;
pub mod second_factors;
pub mod sign_ups;
pub mod signing_keys;
pub mod tenants;
pub mod usage;
