//! Finds tenants that no job will touch although they wait for one.

use std::time::Duration;

use bulkhead_db::{Authority, DbError, platform::lifecycle};
use bulkhead_jobs::SweepTenants;
use serde_json::json;

use crate::{Finished, Handle, JobContext, JobError};

/// Retry: everything. What is found twice is asked for once.
impl Handle for SweepTenants {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, context: &JobContext) -> Result<Finished, JobError> {
        let sweep = async |tx: &mut _| {
            let swept = lifecycle::sweep(tx, context.now()).await?;
            let result = json!({ "building": swept.building, "purging": swept.purging });
            Ok::<_, DbError>((swept, context.finish(tx, Some(result)).await?))
        };
        let (swept, finished) = context.db().platform_write(Authority::machinery(), sweep).await?;
        if swept.building > 0 {
            tracing::warn!(tenants = swept.building, "tenants that nobody was building are to be built");
        }
        if swept.purging > 0 {
            tracing::info!(tenants = swept.purging, "deleted tenants are to be purged");
        }
        Ok(finished)
    }
}
