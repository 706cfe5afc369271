//! Moves usage into the rollups: what tenants' transactions have counted, from PostgreSQL, and what nodes have recorded, from
//! the Redis stream.

use std::time::{Duration, Instant};

use bulkhead_db::{Authority, Db, DbError, platform::usage};
use bulkhead_jobs::AggregateUsage;
use bulkhead_telemetry::Metrics;
use bulkhead_usage::{Bound, DrainOptions, UsageError, drain};
use serde_json::json;

use crate::{Environment, Finished, JobError, JobHandler, JobRun};

/// A run is followed by a rest that is as many times as long as itself, so that it takes a fiftieth of the time. The more
/// tenants are busy, the longer a run takes, and the more requests each row then stands for that the next one changes.
const REST: u32 = 50;

/// The longest rest. Recorders look for what is not confirmed after ten seconds, and people look at their usage.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// More batches in one run mean that the stream fills fast: better no rest than a stream that is full.
const MANY_BATCHES: usize = 20_000;

/// Counts that one transaction moves at most, and so the rows of the rollups that it changes.
pub(crate) const MOST_COUNTS: usize = 20_000;

/// For how long counts are moved; the next run goes on.
const COUNTS_BUDGET: Duration = Duration::from_secs(20);

/// Moves what tenants' transactions have counted; how many counts it were. A transaction that takes too long is tried again with
/// half as many.
async fn fold(db: &Db, bound: &Bound, metrics: &Metrics) -> Result<usize, DbError> {
    let begun = Instant::now();
    let mut folded = 0;
    while begun.elapsed() <= COUNTS_BUDGET {
        let most = bound.get();
        let some = async |tx: &mut _| usage::fold_counts(tx, most).await;
        match db.platform_write::<_, DbError>(Authority::machinery(), some).await {
            Ok(moved) => {
                bound.fitted();
                folded += moved;
                if moved < most {
                    metrics.usage.counts_waiting.set(0);
                    return Ok(folded);
                }
            }
            Err(error) if error.took_too_long() && most > 1 => {
                bound.took_too_long(most);
                tracing::warn!(%error, counts = most, "so many counts take too long; half as many are tried");
            }
            Err(error) => {
                tell_waiting(db, metrics).await;
                return Err(error);
            }
        }
    }
    tell_waiting(db, metrics).await;
    Ok(folded)
}

/// Tells the gauge how many counts are left. What cannot be read stays as it was told last: the run tells of the database.
async fn tell_waiting(db: &Db, metrics: &Metrics) {
    let read = async |tx: &mut _| usage::counts_waiting(tx).await;
    match db.platform_read::<_, DbError>(Authority::machinery(), read).await {
        Ok(waiting) => metrics.usage.counts_waiting.set(waiting),
        Err(error) => tracing::debug!(%error, "could not ask how many counts wait"),
    }
}

/// Retry: everything. Each transaction on the way stands for itself, and a batch is applied once however often it is read,
/// so a run that is cut off anywhere is simply gone on with.
impl JobHandler for AggregateUsage {
    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let begun = Instant::now();
        let Environment { db, redis, metrics, usage_mac, counts, .. } = run.environment();
        // First, for it needs no Redis. That it fails must not keep the stream from being drained.
        let folded = fold(db, counts, metrics).await;
        let mut connection = redis.connect().await.map_err(UsageError::from).map_err(JobError::retry)?;
        let options = DrainOptions::default();
        let drained = drain(&mut connection, db, metrics, &**usage_mac, options, run.now())
            .await
            .map_err(JobError::retry)?;
        if drained.left > 0 {
            tracing::warn!(left = drained.left, "the usage stream is longer than one run can drain");
        }
        let folded = folded?;
        let result = json!({ "fresh": drained.fresh, "duplicate": drained.duplicate, "rejected": drained.rejected, "counts": folded });
        let rest = if drained.fresh < MANY_BATCHES { begun.elapsed() * REST } else { Duration::ZERO };
        run.done_and_rest(result, rest.min(LONGEST_REST)).await
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use bulkhead_db::{Pool, Timeouts};
    use bulkhead_fixtures::{Login, TestDb};

    use super::*;

    /// 1,000 counts, of which a transaction gets fewer than 300 moved in its time.
    async fn slow_beyond_300(db: &TestDb) -> Result<Db> {
        db.sql(
            "INSERT INTO platform.usage_counts (tenant_id, meter, at, quantity) \
                 SELECT gen_random_uuid(), 'pages_printed', '2026-11-01', 1 FROM generate_series(1, 1000); \
             CREATE FUNCTION platform.too_much() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF (SELECT count(*) FROM gone) >= 300 THEN PERFORM pg_catalog.pg_sleep(60); END IF; RETURN NULL; \
             END $$; \
             CREATE TRIGGER too_much AFTER DELETE ON platform.usage_counts REFERENCING OLD TABLE AS gone \
                 FOR EACH STATEMENT EXECUTE FUNCTION platform.too_much()",
        )
        .await?;
        let pool = |login| anyhow::Ok(Pool::new(db.connector(login)?, TestDb::pool_options(2)));
        let timeouts = Timeouts { statement_ms: 500, ..bulkhead_fixtures::timeouts() };
        Ok(Db::new(pool(Login::Tenant)?, pool(Login::Platform)?, timeouts))
    }

    #[tokio::test]
    async fn more_counts_than_fit_a_transaction_are_moved_in_halves() -> Result<()> {
        let db = TestDb::new().await?;
        let slow = slow_beyond_300(&db).await?;
        let metrics = Metrics::new()?;
        assert_eq!(fold(&slow, &Bound::new(1_000), &metrics).await?, 1_000);
        let billed = "SELECT sum(quantity) FROM platform.usage_days WHERE meter = 'pages_printed'";
        assert_eq!(db.value(billed).await?, "1000");
        assert_eq!(metrics.usage.counts_waiting.get(), 0);
        Ok(())
    }

    #[tokio::test]
    async fn what_cannot_be_moved_shows_in_the_gauge() -> Result<()> {
        let db = TestDb::new().await?;
        let slow = slow_beyond_300(&db).await?;
        db.sql("ALTER TABLE platform.usage_days ADD CHECK (quantity < 0) NOT VALID").await?;
        let metrics = Metrics::new()?;
        assert!(fold(&slow, &Bound::new(100), &metrics).await.is_err());
        assert_eq!(metrics.usage.counts_waiting.get(), 1_000);
        Ok(())
    }
}
