//! PostgreSQL: the walls between tenants, and every query.
//!
//! Owns connections, transactions, schemas, migrations and SQL. The only crate that names diesel. Refuses to hand out
//! a connection: queries take the transaction type of the side they belong to, [`TenantTx`] for a tenant's tables,
//! [`PlatformTx`] for the platform's, and that type can only be had for a proven tenant or an authority.

pub mod bootstrap;
mod connect;
mod error;
pub mod idempotency;
pub mod inspect;
mod json;
pub mod migrate;
mod page;
pub mod platform;
mod pool;
pub mod provision;
pub mod purge;
mod schema;
mod scope;
mod statement;
pub mod tenant;
mod transaction;

pub use connect::{Connector, Tls};
pub use error::{DbError, DbResult};
pub use json::JsonText;
pub use page::{PAGE_BYTES, Page, PageRequest};
pub use pool::{Pool, PoolOptions, Shares};
pub use scope::{Authority, CredentialTx, Db, Owner, OwnerTx, PlatformTx, TenantTx, Timeouts};
