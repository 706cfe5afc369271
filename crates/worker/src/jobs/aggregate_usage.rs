//! Moves usage from the Redis stream into the rollups.

use std::time::Duration;

use bulkhead_db::{Authority, DbError};
use bulkhead_jobs::AggregateUsage;
use bulkhead_usage::{DrainOptions, UsageError, drain};
use serde_json::json;

use crate::{Finished, Handle, JobContext, JobError};

/// Retry: everything. Each transaction on the way stands for itself, and a batch is applied once however often it is read,
/// so a run that is cut off anywhere is simply gone on with.
impl Handle for AggregateUsage {
    const TIMEOUT: Duration = Duration::from_mins(1);

    async fn run(self, context: &JobContext) -> Result<Finished, JobError> {
        let mut connection =
            context.redis().connect().await.map_err(UsageError::from).map_err(JobError::retry)?;
        let options = DrainOptions::default();
        let drained = drain(&mut connection, context.db(), context.metrics(), options, context.now())
            .await
            .map_err(JobError::retry)?;
        if drained.left > 0 {
            tracing::warn!(left = drained.left, "the usage stream is longer than one run can drain");
        }
        let result =
            json!({ "fresh": drained.fresh, "duplicate": drained.duplicate, "rejected": drained.rejected });
        let finish = async |tx: &mut _| context.finish(tx, Some(result)).await;
        Ok(context.db().platform_write::<_, DbError>(Authority::Machinery, finish).await?)
    }
}
