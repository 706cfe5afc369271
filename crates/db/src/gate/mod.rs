//! What a tenant's role may see and do of the platform: each query takes a [`crate::TenantTx`] and goes through a view or a
//! function of the schema `gate`, which finds the tenant by the role in force.

pub mod identity_providers;
pub mod jobs;
pub mod mails;
pub mod profile;
pub mod revocations;
pub mod scaling;
pub mod settings;
pub mod usage;
