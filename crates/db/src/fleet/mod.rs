//! All schemas together: the roles of the database, migrations, and a tenant's schema from provisioning to purge.
//!
//! Each function takes an [`crate::OwnerTx`] or an [`crate::Owner`], but for `bootstrap`, which runs as a superuser, and
//! `migrate::status`, which a program asks that serves.

pub mod audit_chain;
pub mod audit_verify;
pub mod bootstrap;
pub mod erase;
pub mod inspect;
pub mod meters;
pub mod migrate;
pub mod provision;
pub mod purge;
