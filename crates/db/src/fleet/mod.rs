//! All schemas together: the roles of the database, migrations, and a tenant's schema from provisioning to purge.
//!
//! Each function takes an [`crate::OwnerTx`] or an [`crate::Owner`], but for `bootstrap`, which runs as a superuser.

pub mod bootstrap;
pub mod inspect;
pub mod meters;
pub mod migrate;
pub mod provision;
pub mod purge;
