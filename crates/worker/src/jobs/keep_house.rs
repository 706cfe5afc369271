//! Deletes what has outlived its use from the platform's tables, and asks every tenant's own job to do the same.

use std::time::Duration;

use bulkhead_db::{
    Authority, DbError,
    platform::{
        housekeeping::{self, Expired},
        queue, tenants,
    },
};
use bulkhead_jobs::{KeepHouse, PurgeExpired};
use serde_json::json;

use crate::{Finished, Handle, JobContext, JobError};

/// Rows in one transaction: few enough to be done before anybody notices the locks.
const BATCH: u16 = 2_000;

/// Tenants in one transaction.
const TENANTS: u16 = 1_000;

/// Retry: everything. What is deleted twice is deleted, and a tenant is asked once a day.
impl Handle for KeepHouse {
    const TIMEOUT: Duration = Duration::from_mins(15);

    async fn run(self, context: &JobContext) -> Result<Finished, JobError> {
        let mut deleted = serde_json::Map::new();
        for what in Expired::ALL {
            let mut rows = 0;
            loop {
                let delete = async |tx: &mut _| housekeeping::delete(tx, what, BATCH).await;
                let batch = context.db().platform_write(Authority::machinery(), delete).await?;
                rows += batch;
                if batch < usize::from(BATCH) {
                    break;
                }
            }
            if rows > 0 {
                deleted.insert(what.table().to_owned(), json!(rows));
            }
        }
        ask_tenants(context).await?;
        let finish = async |tx: &mut _| context.finish(tx, Some(json!({ "deleted": deleted }))).await;
        Ok(context.db().platform_write::<_, DbError>(Authority::machinery(), finish).await?)
    }
}

/// One job per day and tenant that has a schema, in service or not. The day is the key, so that every hour's run but the first finds them there.
async fn ask_tenants(context: &JobContext) -> Result<(), DbError> {
    let now = context.now();
    let key = now.format("%F").to_string();
    let mut after = None;
    loop {
        let ask = async |tx: &mut _| {
            let found = tenants::with_schema(tx, after, TENANTS).await?;
            queue::enqueue_for_tenants(tx, &PurgeExpired {}, &key, &found, now).await?;
            Ok::<_, DbError>(found)
        };
        let asked = context.db().platform_write(Authority::machinery(), ask).await?;
        if asked.len() < usize::from(TENANTS) {
            return Ok(());
        }
        after = asked.last().copied();
    }
}
