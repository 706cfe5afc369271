//! Keeps schemas ready for tenants that have not signed up yet.

use std::time::Duration;

use bulkhead_db::{
    Authority, DbError,
    migrate::TENANT_MIGRATIONS,
    provision::schema_pool::{build_ahead, count_ready, drop_surplus},
};
use bulkhead_domain::TenantId;
use bulkhead_jobs::FillSchemaPool;
use serde_json::json;
use tokio::time::Instant;

use crate::{Finished, Handle, JobContext, JobError};

/// How long a run goes on: a process that is to end does not wait for hundreds of schemas. The next run does the rest.
const BUDGET: Duration = Duration::from_secs(5);

/// One transaction per schema, so that a tenant who waits for the provisioner waits for one at most. What is wanted is
/// built before what is behind is dropped: during a roll-out the pool is never empty. Retry: everything.
impl Handle for FillSchemaPool {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, context: &JobContext) -> Result<Finished, JobError> {
        let (owner, wanted) = (context.owner(), context.schema_pool());
        let end = Instant::now() + BUDGET;
        let count = async |tx: &mut _| count_ready(tx, TENANT_MIGRATIONS).await;
        let missing = usize::from(wanted).saturating_sub(owner.write::<_, DbError>(count).await?);
        let mut built = 0;
        while built < missing && Instant::now() < end {
            let at = context.now();
            let build = async |tx: &mut _| build_ahead(tx, TENANT_MIGRATIONS, TenantId::mint(at), at).await;
            match owner.write(build).await {
                Ok(()) => built += 1,
                // Newer programs are being rolled out, and keep the pool from here on.
                Err(DbError::Outdated) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let trim = async |tx: &mut _| drop_surplus(tx, TENANT_MIGRATIONS, wanted).await;
        let mut dropped = 0;
        while Instant::now() < end && owner.write::<_, DbError>(trim).await? {
            dropped += 1;
        }
        let result = json!({ "built": built, "dropped": dropped });
        let finish = async |tx: &mut _| context.finish(tx, Some(result)).await;
        Ok(context.db().platform_write::<_, DbError>(Authority::Machinery, finish).await?)
    }
}
