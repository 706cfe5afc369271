//! What the core's jobs do, in a file for each subject, under the names that their payloads have in `bulkhead-jobs`.

mod accounts;
mod audit;
mod mails;
mod retention;
mod scaling;
mod schema_pool;
mod signing_keys;
mod tenants;
mod usage;

use std::time::Duration;

use bulkhead_jobs::{
    AggregateUsage, AnchorAudit, ApplyRetention, ChainAudit, DecideScaling, EnqueuePerTenant, EraseUser,
    FillSchemaPool, ProvisionTenant, PurgeExpired, PurgeTenant, SendMail, SendSignUpMail, SettleAccount,
    SweepTenants, TendSigningKeys,
};

pub use mails::OutgoingMail;
pub(crate) use usage::MOST_COUNTS;

use crate::{CoreJobs, Every};

/// The core's jobs. A time is the pause between the end of one run and the start of the next.
pub(crate) fn core() -> CoreJobs {
    CoreJobs::new()
        .with::<ProvisionTenant>()
        .with::<PurgeTenant>()
        .with::<SendSignUpMail>()
        .with_tenant::<SendMail>()
        .with_tenant::<SettleAccount>()
        .asked_by_tenants::<EraseUser>()
        .recurring::<ChainAudit>(Duration::from_secs(5))
        // Several times a day, so that a place that was away for hours has its file of the day.
        .recurring::<AnchorAudit>(Duration::from_mins(10))
        .recurring::<AggregateUsage>(Duration::from_secs(1))
        // A decision is made once per tenant and minute; looking three times a minute catches usage that came late.
        .recurring::<DecideScaling>(Duration::from_secs(20))
        .recurring::<FillSchemaPool>(Duration::from_secs(5))
        .recurring::<ApplyRetention>(Duration::from_hours(1))
        .recurring::<SweepTenants>(Duration::from_secs(30))
        .recurring::<TendSigningKeys>(Duration::from_secs(30))
        // Several times in the shortest period, so that a tenant's job of that period is there soon after it begins.
        .recurring::<EnqueuePerTenant>(Duration::from_mins(10))
        .each_tenant::<PurgeExpired>(Every::Day)
}
