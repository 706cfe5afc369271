//! Decides about the capacity of every tenant that has traffic or capacity to spare.

use std::time::Duration;

use bulkhead_db::{
    Authority, DbError,
    platform::scaling::{self, Decided, TenantLoad},
};
use bulkhead_domain::{JobId, scaling::decide};
use bulkhead_jobs::DecideScaling;
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use serde_json::json;

use crate::{Finished, JobError, JobHandler, JobRun};

/// How many tenants are decided about in one transaction.
const PAGE: u16 = 1_000;

/// How long usage may take from an answer into the rollups: a minute is complete when it ended this long ago.
const USAGE_LAG: TimeDelta = TimeDelta::seconds(8);

/// Retry: everything. A tenant has one decision per minute, and its capacity moves in the transaction that writes it.
impl JobHandler for DecideScaling {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let now = run.now();
        let minute = (now - USAGE_LAG).duration_trunc(TimeDelta::minutes(1)).map_err(JobError::retry)?;
        let mut after = None;
        let mut decisions = 0;
        loop {
            let write = async |tx: &mut _| {
                let loads = scaling::loads(tx, minute, after, PAGE).await?;
                let decided: Vec<Decided> = loads.iter().map(|load| decided(load, minute, now)).collect();
                let new = scaling::record(tx, minute, &decided).await?;
                Ok::<_, DbError>((new, loads.last().map(|load| load.tenant), loads.len() < usize::from(PAGE)))
            };
            let (new, last, done) =
                run.environment().db.platform_write(Authority::machinery(), write).await?;
            decisions += new;
            after = last;
            if done {
                break;
            }
        }
        run.done(json!({ "decisions": decisions })).await
    }
}

fn decided(tenant: &TenantLoad, minute: DateTime<Utc>, now: DateTime<Utc>) -> Decided {
    let decision = decide(&tenant.policy, &tenant.load, tenant.units, tenant.changed_at, minute);
    // A decision is not a job, but its id is minted like that of a job: by time, so that lists are in order.
    Decided { id: JobId::mint(now).uuid(), tenant: tenant.tenant, load: tenant.load, decision }
}
