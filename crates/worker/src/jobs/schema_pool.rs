//! Keeps schemas ready for tenants that have not signed up yet.

use std::time::Duration;

use bulkhead_db::{
    DbError,
    fleet::provision::schema_pool::{build_ahead, count_ready, drop_surplus},
};
use bulkhead_domain::TenantId;
use bulkhead_jobs::FillSchemaPool;
use serde_json::json;
use tokio::time::Instant;

use crate::{Environment, Finished, JobError, JobHandler, JobRun};

/// How long a run goes on: a process that is to end does not wait for hundreds of schemas. The next run does the rest.
const BUDGET: Duration = Duration::from_secs(5);

/// Schemas built in one transaction. When one commits that grants roles, every connection reads all memberships anew
/// at its next request, which takes milliseconds when there are thousands; so few transactions are better. A tenant
/// that waits for the provisioner waits for one of them at most, so they are not long either.
const BATCH: usize = 8;

/// Builds when half of what is wanted is gone, for the reason of [`BATCH`]. What is wanted is built before what is behind
/// is dropped: during a roll-out the pool is never empty. Retry: everything.
impl JobHandler for FillSchemaPool {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let Environment { owner, schema_pool, .. } = run.environment();
        let wanted = usize::from(*schema_pool);
        let end = Instant::now() + BUDGET;
        let count = async |tx: &mut _| count_ready(tx).await;
        let ready = owner.write::<_, DbError>(count).await?;
        let missing = if ready <= wanted / 2 { wanted.saturating_sub(ready) } else { 0 };
        let mut built = 0;
        while built < missing && Instant::now() < end {
            let (at, batch) = (run.now(), BATCH.min(missing - built));
            let build = async |tx: &mut _| {
                for _ in 0..batch {
                    build_ahead(tx, TenantId::mint(at), at).await?;
                }
                Ok(())
            };
            match owner.write(build).await {
                Ok(()) => built += batch,
                // This program cannot build such a schema. A worker whose program can will fill the pool.
                Err(DbError::Outdated | DbError::NotMigrated) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let trim = async |tx: &mut _| drop_surplus(tx, *schema_pool).await;
        let mut dropped = 0;
        while Instant::now() < end && owner.write::<_, DbError>(trim).await? {
            dropped += 1;
        }
        run.done(json!({ "built": built, "dropped": dropped })).await
    }
}
