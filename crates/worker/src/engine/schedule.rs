//! What happens again and again.
//!
//! A recurring job is one row of `platform.jobs` that goes back into the queue when it finishes, so however many workers
//! there are, it runs once at a time, and when a worker dies its lease runs out like any other.

use std::time::Duration;

use bulkhead_db::{DbResult, PlatformTx, platform::queue};
use bulkhead_jobs::{AggregateUsage, DecideScaling, FillSchemaPool, KeepHouse, SweepTenants};
use chrono::{DateTime, Utc};

/// The pause between the end of one run and the start of the next.
pub(crate) async fn ensure(tx: &mut PlatformTx, at: DateTime<Utc>) -> DbResult<()> {
    queue::ensure_recurring::<AggregateUsage>(tx, Duration::from_secs(1), at).await?;
    // A decision is made once per tenant and minute; looking three times a minute catches usage that came late.
    queue::ensure_recurring::<DecideScaling>(tx, Duration::from_secs(20), at).await?;
    queue::ensure_recurring::<FillSchemaPool>(tx, Duration::from_secs(5), at).await?;
    queue::ensure_recurring::<KeepHouse>(tx, Duration::from_hours(1), at).await?;
    queue::ensure_recurring::<SweepTenants>(tx, Duration::from_secs(30), at).await
}
