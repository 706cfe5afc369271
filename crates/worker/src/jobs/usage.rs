//! Moves usage into the rollups: what tenants' transactions have counted, from PostgreSQL, and what nodes have recorded, from
//! the Redis stream.

use std::time::{Duration, Instant};

use bulkhead_db::{Authority, Db, DbError, platform::usage};
use bulkhead_jobs::AggregateUsage;
use bulkhead_usage::{DrainOptions, UsageError, drain};
use serde_json::json;

use crate::{Environment, Finished, JobError, JobHandler, JobRun};

/// A run is followed by a rest that is as many times as long as itself, so that it takes a fiftieth of the time. The more
/// tenants are busy, the longer a run takes, and the more requests each row then stands for that the next one changes.
const REST: u32 = 50;

/// The longest rest. Recorders look for what is not confirmed after ten seconds, and people look at their usage.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// More batches in one run mean that the stream fills fast: better no rest than a stream that is full.
const MANY_BATCHES: usize = 20_000;

/// Counts that one transaction moves, and so the rows of the rollups that it changes at most.
const COUNTS: u16 = 20_000;

/// For how long counts are moved; the next run goes on.
const COUNTS_BUDGET: Duration = Duration::from_secs(20);

/// Moves what tenants' transactions have counted; how many counts it were.
async fn fold(db: &Db) -> Result<usize, DbError> {
    let begun = Instant::now();
    let mut folded = 0;
    loop {
        let some = async |tx: &mut _| usage::fold_counts(tx, COUNTS).await;
        let moved = db.platform_write(Authority::machinery(), some).await?;
        folded += moved;
        if moved < usize::from(COUNTS) || begun.elapsed() > COUNTS_BUDGET {
            return Ok(folded);
        }
    }
}

/// Retry: everything. Each transaction on the way stands for itself, and a batch is applied once however often it is read,
/// so a run that is cut off anywhere is simply gone on with.
impl JobHandler for AggregateUsage {
    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let begun = Instant::now();
        let Environment { db, redis, metrics, usage_mac, .. } = run.environment();
        // First, for it needs no Redis. That it fails must not keep the stream from being drained.
        let folded = fold(db).await;
        let mut connection = redis.connect().await.map_err(UsageError::from).map_err(JobError::retry)?;
        let options = DrainOptions::default();
        let drained = drain(&mut connection, db, metrics, &**usage_mac, options, run.now())
            .await
            .map_err(JobError::retry)?;
        if drained.left > 0 {
            tracing::warn!(left = drained.left, "the usage stream is longer than one run can drain");
        }
        let counts = folded?;
        let result = json!({ "fresh": drained.fresh, "duplicate": drained.duplicate, "rejected": drained.rejected, "counts": counts });
        let rest = if drained.fresh < MANY_BATCHES { begun.elapsed() * REST } else { Duration::ZERO };
        run.done_and_rest(result, rest.min(LONGEST_REST)).await
    }
}
