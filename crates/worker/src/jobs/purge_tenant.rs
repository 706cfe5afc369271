//! Removes a deleted tenant, step by step.

use std::time::Duration;

use bulkhead_db::fleet::purge::{Advanced, advance};
use bulkhead_jobs::PurgeTenant;
use serde_json::json;

use crate::{Finished, Handle, JobContext, JobError};

/// Each step is a transaction that also writes down what comes next, so a run that dies anywhere is gone on with by the next
/// one. Retry: everything, save a tenant that is not to be purged.
impl Handle for PurgeTenant {
    const TIMEOUT: Duration = Duration::from_mins(15);

    async fn run(self, context: &JobContext) -> Result<Finished, JobError> {
        loop {
            let step = async |tx: &mut _| match advance(tx, self.tenant, context.id(), context.now()).await? {
                Advanced::Going => Ok::<_, JobError>(None),
                Advanced::Purged(receipt) => {
                    let result = json!({ "tenant": self.tenant, "removed": receipt });
                    Ok(Some(context.finish(tx, Some(result)).await?))
                }
                Advanced::Refused => Err(JobError::abort("the tenant is not to be purged")),
            };
            if let Some(finished) = context.purger().write(step).await? {
                return Ok(finished);
            }
        }
    }
}
