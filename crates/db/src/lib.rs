//! PostgreSQL: the walls between tenants, and every query.
//!
//! Owns connections, transactions, schemas, migrations and SQL. The only crate that names diesel. Refuses to hand out
//! a connection: queries take the transaction type of the side they belong to, [`TenantTx`] for a tenant's tables,
//! [`PlatformTx`] for the platform's, and that type can only be had for a proven tenant or an authority.
//!
//! | folder | what is in it |
//! |---|---|
//! | `engine` | connections, pools, transactions and their walls: a change here is a change of the tenant walls |
//! | `fleet` | roles, migrations, schemas of tenants from provisioning to purge, and what `doctor` looks at |
//! | `tenant` | queries on a tenant's own tables |
//! | `gate` | what a tenant's role may see and do of the platform: views and functions of the schema `gate` |
//! | `platform` | queries on the platform's own tables |

pub mod audit;
mod engine;
pub mod fleet;
pub mod gate;
pub mod idempotency;
pub mod identity_providers;
pub mod platform;
mod schema;
pub mod second_factor;
pub mod sessions;
pub mod tenant;

#[doc(hidden)]
pub use engine::statement::Marked;
pub use engine::{
    connect::{Connector, Timeouts, Tls},
    error::{DbError, DbResult},
    json::JsonText,
    page::{PAGE_BYTES, Page, PageRequest, WithinPage, within_page},
    pool::{Pool, PoolOptions, Shares},
    scope::{Authority, CredentialTx, Db, Owner, OwnerTx, PlatformTx, TenantTx},
};
