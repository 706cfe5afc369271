//! Works on the whole queue from time to time: renews leases, puts losses right, reports the depth.

use std::{collections::HashSet, time::Duration};

use bulkhead_db::{
    Authority, Db, DbError,
    platform::queue::{
        dispatch::{self, Depth, Swept},
        lease,
    },
};
use bulkhead_telemetry::Metrics;
use tokio::time::sleep;

use crate::engine::executor::Executor;

/// Jobs of each sort put right in one transaction.
const LIMIT: u16 = 1_000;

/// Renews the leases of running jobs three times in their life, all in one statement, on a connection that no job uses:
/// a job that is busy, or waits for a connection, does not lose its lease.
pub(crate) async fn renew_for_ever(db: &Db, executor: &Executor, lease: Duration) {
    loop {
        sleep(lease / 3).await;
        let held = executor.leases();
        if held.is_empty() {
            continue;
        }
        let renew = async |tx: &mut _| lease::renew(tx, &held, lease).await;
        match db.platform_write::<_, DbError>(Authority::machinery(), renew).await {
            Ok(renewed) => {
                let renewed: HashSet<_> = renewed.into_iter().collect();
                // Jobs that finished meanwhile are among the rest; `stop` passes over jobs that do not run any more.
                executor.stop(held.into_iter().filter(|(id, _)| !renewed.contains(id)));
            }
            Err(error) => tracing::warn!(%error, "leases could not be renewed"),
        }
    }
}

/// Puts right what crashes have left behind. `patience` is how long a job may be handed out without being started.
pub(crate) async fn sweep_for_ever(db: &Db, every: Duration, patience: Duration, metrics: &Metrics) {
    loop {
        let sweep = async |tx: &mut _| {
            let swept = dispatch::sweep(tx, patience, LIMIT).await?;
            Ok::<_, DbError>((swept, dispatch::depth(tx).await?))
        };
        match db.platform_write(Authority::machinery(), sweep).await {
            Ok((swept, depth)) => tell(swept, depth, metrics),
            Err(error) => tracing::warn!(%error, "the queue could not be swept"),
        }
        sleep(every).await;
    }
}

fn tell(swept: Swept, depth: Depth, metrics: &Metrics) {
    metrics.jobs.outstanding.set(depth.outstanding);
    metrics.jobs.due.set(depth.due);
    metrics.jobs.oldest_due_seconds.set(depth.oldest_due_seconds);
    if swept != Swept::default() {
        let Swept { requeued, failed, taken_back } = swept;
        for kind in &failed {
            metrics.jobs.given_up(kind);
        }
        tracing::warn!(requeued, ?failed, taken_back, "jobs that had been lost were found");
    }
    if depth.due > 0 {
        tracing::debug!(
            due = depth.due,
            oldest_seconds = depth.oldest_due_seconds,
            "jobs wait for their turn"
        );
    }
}
