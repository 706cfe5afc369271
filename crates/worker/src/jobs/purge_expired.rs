//! Deletes what has expired from one tenant's schema.

use std::time::Duration;

use bulkhead_db::{DbError, gate};
use bulkhead_jobs::PurgeExpired;
use serde_json::json;

use crate::{Finished, Handle, JobContext, JobError};

/// Rows in one transaction.
const BATCH: u16 = 2_000;

/// Retry: everything. What is deleted twice is deleted.
impl Handle for PurgeExpired {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, context: &JobContext) -> Result<Finished, JobError> {
        let tenant = context.tenant()?;
        let mut deleted = 0;
        loop {
            let purge = async |tx: &mut _| gate::jobs::purge_expired(tx, BATCH).await;
            let batch = context.db().write::<_, DbError>(tenant, purge).await?;
            deleted += batch;
            if batch < usize::from(BATCH) {
                break;
            }
        }
        let finish = async |tx: &mut _| context.finish(tx, Some(json!({ "deleted": deleted }))).await;
        Ok(context.db().write::<_, DbError>(tenant, finish).await?)
    }
}
