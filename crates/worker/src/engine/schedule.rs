//! What happens again and again.
//!
//! A recurring job is one row of `platform.jobs` that goes back into the queue when it finishes, so however many workers
//! there are, it runs once at a time, and when a worker dies its lease runs out like any other. A job that every tenant has
//! once a period is enqueued for each of them by a recurring job of the core (`ask_tenants`), with the period as its key.

use std::time::Duration;

use bulkhead_db::{DbResult, PlatformTx, platform::queue};
use bulkhead_domain::TenantId;
use bulkhead_jobs::{Job, TenantJob};
use chrono::{DateTime, Utc};
use futures::future::LocalBoxFuture;

/// How often every tenant has a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// Once an hour, of UTC.
    Hour,
    /// Once a day, of UTC.
    Day,
}

impl Every {
    /// The key of the period in which `now` lies.
    pub(crate) fn key(self, now: DateTime<Utc>) -> String {
        let form = match self {
            Self::Hour => "%FT%H",
            Self::Day => "%F",
        };
        now.format(form).to_string()
    }
}

type Ensure = for<'t> fn(&'t mut PlatformTx, Duration, DateTime<Utc>) -> LocalBoxFuture<'t, DbResult<()>>;

/// A job that recurs.
#[derive(Clone, Copy)]
pub(crate) struct Recurring {
    pub(crate) kind: &'static str,
    /// The pause between the end of one run and the start of the next.
    pub(crate) every: Duration,
    ensure: Ensure,
}

impl Recurring {
    pub(crate) fn new<J: Job + Default>(every: Duration) -> Self {
        let ensure: Ensure = |tx, every, at| Box::pin(queue::ensure_recurring::<J>(tx, every, at));
        Self { kind: J::KIND, every, ensure }
    }

    /// Sees to it that the job has its row.
    pub(crate) async fn ensure(&self, tx: &mut PlatformTx, at: DateTime<Utc>) -> DbResult<()> {
        (self.ensure)(tx, self.every, at).await
    }
}

type Enqueue = for<'t> fn(
    &'t mut PlatformTx,
    &'t str,
    &'t [TenantId],
    DateTime<Utc>,
) -> LocalBoxFuture<'t, DbResult<usize>>;

/// A job that every tenant has once a period.
#[derive(Clone, Copy)]
pub(crate) struct EachTenant {
    pub(crate) kind: &'static str,
    pub(crate) every: Every,
    /// Enqueues it for these tenants, unless they had it with this key; for how many it did.
    pub(crate) enqueue: Enqueue,
}

impl EachTenant {
    pub(crate) fn new<J: TenantJob + Default>(every: Every) -> Self {
        let enqueue: Enqueue = |tx, key, tenants, at| {
            Box::pin(async move { queue::enqueue_for_tenants(tx, &J::default(), key, tenants, at).await })
        };
        Self { kind: J::KIND, every, enqueue }
    }
}
