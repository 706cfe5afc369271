//! What is to happen later, as data.
//!
//! Owns the payload of every background job; the behaviour is in the worker under the same name. Payloads are stored
//! as JSON in `platform.jobs` and outlive deployments, so a payload's meaning never changes: a new shape is a new
//! kind, and a retired one stays decodable until its last row is gone. Secrets never belong in a payload.

mod aggregate_usage;
mod decide_scaling;
mod fill_schema_pool;
mod keep_house;
mod provision_tenant;
mod purge_expired;
mod purge_tenant;
mod sweep_tenants;

use serde::{Serialize, de::DeserializeOwned};

pub use aggregate_usage::AggregateUsage;
pub use decide_scaling::DecideScaling;
pub use fill_schema_pool::FillSchemaPool;
pub use keep_house::KeepHouse;
pub use provision_tenant::ProvisionTenant;
pub use purge_expired::PurgeExpired;
pub use purge_tenant::PurgeTenant;
pub use sweep_tenants::SweepTenants;

/// A kind of background job.
pub trait Job: Serialize + DeserializeOwned {
    /// The kind's name, as in `platform.job_kinds`.
    const KIND: &'static str;

    /// How often a run may fail before the job is given up.
    const MAX_ATTEMPTS: i32;
}

/// A job that runs inside one tenant and may be enqueued by that tenant's transactions.
pub trait TenantJob: Job {}
