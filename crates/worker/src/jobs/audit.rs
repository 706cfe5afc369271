//! Audit logs: chains them, and erases people from them.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use bulkhead_db::{
    Authority, DbError, Owner, PlatformTx,
    fleet::{
        audit_chain::{Due, due, step},
        erase::{erase_addresses, erase_changes},
    },
    platform::audit::is_anchored,
};
use bulkhead_jobs::{AnchorAudit, ChainAudit, EraseUser};
use serde_json::json;

use crate::{Finished, JobError, JobHandler, JobRun};

/// Logs that are looked for at a time.
const LOGS: u16 = 100;
/// After how long a run leaves the rest to the next one.
const LONG_ENOUGH: Duration = Duration::from_secs(45);

/// Each step is a transaction of its own, so that no log is held for long, and a run that dies anywhere is gone on with by the
/// next one. A log that cannot be chained is told and does not keep the others from it. Retry: everything.
impl JobHandler for ChainAudit {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let owner = &run.environment().owner;
        let begun = Instant::now();
        let (mut chained, mut failed) = (0, 0);
        let mut seen = HashSet::new();
        loop {
            let mut logs = owner.write::<_, JobError>(async |tx| Ok(due(tx, LOGS).await?)).await?;
            // Each log once in a run: some are written to all the time, and those that fail stay due.
            logs.retain(|log| seen.insert(log.chain));
            let is_last = logs.len() < usize::from(LOGS);
            for log in logs {
                if begun.elapsed() > LONG_ENOUGH {
                    break;
                }
                match chain(owner, log, begun).await {
                    Ok(entries) => chained += entries,
                    Err(error) => {
                        failed += 1;
                        // Its tenant may have been purged meanwhile; what stays is looked at again in seconds.
                        let error = &error as &(dyn std::error::Error + 'static);
                        tracing::warn!(error, chain = %log.chain, "an audit log was not chained");
                    }
                }
            }
            if is_last || begun.elapsed() > LONG_ENOUGH {
                break;
            }
        }
        run.done(json!({ "chained": chained, "failed": failed })).await
    }
}

/// Chains a log to its end, or until the run has lasted long enough; how many entries.
async fn chain(owner: &Owner, log: Due, begun: Instant) -> Result<usize, JobError> {
    let mut chained = 0;
    loop {
        let stepped = owner.write::<_, JobError>(async |tx| Ok(step(tx, log).await?)).await?;
        chained += stepped.chained;
        if !stepped.more || begun.elapsed() > LONG_ENOUGH {
            return Ok(chained);
        }
    }
}

/// Once a day, where a place is set. What is written twice, by two workers at once or because a run dies before it remembers that,
/// does no harm. Retry: everything.
impl JobHandler for AnchorAudit {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let environment = run.environment();
        let Some(anchoring) = &environment.anchoring else {
            return run.done(json!({ "anchored": false })).await;
        };
        let (db, now) = (&environment.db, run.now());
        let look = async |tx: &mut PlatformTx| is_anchored(tx, now).await;
        if db.platform_read::<_, DbError>(Authority::machinery(), look).await? {
            return run.done(json!({ "anchored": false })).await;
        }
        let written = anchoring.write(db, now).await.map_err(|error| JobError::retry(error.to_string()))?;
        tracing::info!(place = %written.place, chains = written.chains, "the heads of the audit logs are anchored");
        run.done(json!({ "anchored": true, "chains": written.chains })).await
    }
}

/// Erases in steps. Each of them can be done again: what is erased is not found any more. Retry: everything.
impl JobHandler for EraseUser {
    const TIMEOUT: Duration = Duration::from_mins(15);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let tenant = run.tenant().ok_or_else(|| JobError::abort("the job belongs to no tenant"))?;
        let owner = &run.environment().purger;
        let mut erased =
            owner.write::<_, JobError>(async |tx| Ok(erase_changes(tx, tenant, self.user).await?)).await?;
        loop {
            let step = async |tx: &mut _| {
                let more = erase_addresses(tx, tenant, self.user).await?;
                erased += more;
                Ok((more == 0).then(|| json!({ "user": self.user, "entries": erased })))
            };
            if let Some(finished) = run.step_as_owner(owner, step).await? {
                return Ok(finished);
            }
        }
    }
}
