//! Deletes what has outlived its use, from the platform's tables and from each tenant's, and gives every tenant the jobs
//! that each has once a day or once an hour.

use std::time::Duration;

use bulkhead_db::{
    Authority, DbError, TenantTx, gate,
    platform::{
        retention::{self, Expired},
        tenants,
    },
    tenant::provider_accounts as accounts,
};
use bulkhead_jobs::{ApplyRetention, EnqueuePerTenant, PurgeExpired, SettleAccount};
use serde_json::json;

use crate::{
    Finished, JobCall, JobError, JobHandler, JobRun, TenantJobHandler, engine::schedule::EachTenant,
};

/// Rows in one transaction: few enough to be done before their locks hold up anything.
const BATCH: u16 = 2_000;

/// Tenants in one transaction.
const TENANTS: u16 = 1_000;

/// Retry: everything. What is deleted twice is deleted.
impl JobHandler for ApplyRetention {
    const TIMEOUT: Duration = Duration::from_mins(15);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let db = &run.environment().db;
        let mut deleted = serde_json::Map::new();
        for what in Expired::ALL {
            let mut rows = 0;
            loop {
                let delete = async |tx: &mut _| retention::delete(tx, what, BATCH).await;
                let batch = db.platform_write::<_, DbError>(Authority::machinery(), delete).await?;
                rows += batch;
                if batch < usize::from(BATCH) {
                    break;
                }
            }
            if rows > 0 {
                deleted.insert(what.table().to_owned(), json!(rows));
            }
        }
        run.done(json!({ "deleted": deleted })).await
    }
}

/// Retry: everything. The period is the job's key, so a tenant gets a job once a period, from the run that comes first.
impl JobHandler for EnqueuePerTenant {
    const TIMEOUT: Duration = Duration::from_mins(15);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let mut enqueued = serde_json::Map::new();
        for schedule in &*run.environment().each_tenant {
            let added = enqueue(run, schedule).await?;
            if added > 0 {
                enqueued.insert(schedule.kind.to_owned(), json!(added));
            }
        }
        run.done(json!({ "asked": enqueued })).await
    }
}

/// One job per period and tenant that has a schema, in service or not; how many were added.
async fn enqueue(run: &JobRun, schedule: &EachTenant) -> Result<usize, DbError> {
    let now = run.now();
    let key = schedule.every.key(now);
    let (mut after, mut added) = (None, 0);
    loop {
        let enqueue = async |tx: &mut _| {
            let found = tenants::with_schema(tx, after, TENANTS).await?;
            let new = (schedule.enqueue)(tx, &key, &found, now).await?;
            Ok::<_, DbError>((found, new))
        };
        let (found, new) = run.environment().db.platform_write(Authority::machinery(), enqueue).await?;
        added += new;
        if found.len() < usize::from(TENANTS) {
            return Ok(added);
        }
        after = found.last().copied();
    }
}

/// How many accounts are looked after at a time.
const ACCOUNTS: i64 = 500;

/// Retry: everything. What is deleted twice is deleted, and an account is asked for once a day.
impl TenantJobHandler for PurgeExpired {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, call: &JobCall) -> Result<Finished, JobError> {
        let mut deleted = 0;
        loop {
            let purge = async |tx: &mut _| gate::jobs::purge_expired(tx, BATCH).await;
            let batch = call.write::<_, DbError>(purge).await?;
            deleted += batch;
            if batch < usize::from(BATCH) {
                break;
            }
        }
        call.finish(async |tx: &mut TenantTx| {
            let unsettled = accounts::unsettled(tx, call.at(), ACCOUNTS).await?;
            for user in &unsettled {
                let key = format!("{user} {}", call.at().date_naive());
                gate::jobs::enqueue(tx, &SettleAccount { user: *user }, Some(&key), call.at()).await?;
            }
            Ok(Some(json!({ "deleted": deleted, "accounts": unsettled.len() })))
        })
        .await
    }
}
