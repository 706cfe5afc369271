//! What is to happen later, as data.
//!
//! Owns the payload of every background job of the core, by subject; the behaviour is in the worker under the same subject.
//! Payloads are stored as JSON in `platform.jobs` and outlive deployments, so a payload's meaning never changes: a new shape is
//! a new kind, and a retired one stays decodable until its last row is gone. Secrets never belong in a payload.

mod accounts;
mod audit;
mod mails;
mod retention;
mod scaling;
mod schema_pool;
mod signing_keys;
mod tenants;
mod usage;

use serde::{Serialize, de::DeserializeOwned};

pub use accounts::SettleAccount;
pub use audit::{AnchorAudit, ChainAudit, EraseUser};
pub use mails::{SendMail, SendSignUpMail};
pub use retention::{ApplyRetention, EnqueuePerTenant, PurgeExpired};
pub use scaling::DecideScaling;
pub use schema_pool::FillSchemaPool;
pub use signing_keys::TendSigningKeys;
pub use tenants::{ProvisionTenant, PurgeTenant, SweepTenants};
pub use usage::AggregateUsage;

/// A kind of background job.
pub trait Job: Serialize + DeserializeOwned + 'static {
    /// The kind's name, as in `platform.job_kinds`: 1 to 63 of `a-z`, `0-9` and `_`, in an extension after its name and a dot
    /// (`invoices.send`).
    const KIND: &'static str;

    /// How often the job may be run, from 1 to 25: a run that fails is repeated, later each time, until then.
    const MAX_ATTEMPTS: i32 = 10;

    /// Whether the kind is retired: jobs that wait are still run, and code that enqueues one more does not compile. `migrate`
    /// makes PostgreSQL refuse it from tenants too, so a kind is retired one release after the last that enqueues it.
    const RETIRED: bool = false;
}

/// A job that runs inside one tenant and may be enqueued by that tenant's transactions.
pub trait TenantJob: Job {}
