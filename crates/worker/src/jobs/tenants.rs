//! The life of a tenant: builds it, removes it when it is deleted, and finds those that no job will touch although they wait
//! for one.

use std::time::Duration;

use bulkhead_db::{
    Authority, DbError,
    fleet::{
        provision::{Provisioned, provision_tenant},
        purge::{Advanced, advance},
    },
    platform::{lifecycle, tenants},
};
use bulkhead_jobs::{ProvisionTenant, PurgeTenant, SweepTenants};
use serde_json::json;

use crate::{Finished, JobError, JobHandler, JobRun};

/// One transaction builds everything and finishes the job, so a run that dies anywhere leaves nothing behind. Retry:
/// everything, save a tenant that does not exist.
impl JobHandler for ProvisionTenant {
    const TIMEOUT: Duration = Duration::from_mins(5);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let known = async |tx: &mut _| tenants::find(tx, self.tenant).await;
        let known = run.environment().db.platform_read::<_, DbError>(Authority::machinery(), known).await?;
        if known.is_none() {
            return Err(JobError::abort("there is no such tenant"));
        }
        let build = async |tx: &mut _| {
            let built = provision_tenant(tx, self.tenant, run.id(), run.now()).await?;
            let outcome = match built {
                Provisioned::Built => "built",
                Provisioned::AlreadyActive => "already_active",
                Provisioned::Withdrawn => "withdrawn",
            };
            Ok(json!({ "tenant": self.tenant, "outcome": outcome }))
        };
        run.finish_as_owner(&run.environment().owner, build).await
    }
}

/// Each step is a transaction that also writes down what comes next, so a run that dies anywhere is gone on with by the next
/// one. Retry: everything, save a tenant that is not to be purged.
impl JobHandler for PurgeTenant {
    const TIMEOUT: Duration = Duration::from_mins(15);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        loop {
            let step = async |tx: &mut _| match advance(tx, self.tenant, run.id(), run.now()).await? {
                Advanced::Going => Ok(None),
                Advanced::Purged(receipt) => Ok(Some(json!({ "tenant": self.tenant, "removed": receipt }))),
                Advanced::Refused => Err(JobError::abort("the tenant is not to be purged")),
            };
            if let Some(finished) = run.step_as_owner(&run.environment().purger, step).await? {
                return Ok(finished);
            }
        }
    }
}

/// Retry: everything. What is found twice is asked for once.
impl JobHandler for SweepTenants {
    const TIMEOUT: Duration = Duration::from_mins(2);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        let mut swept = lifecycle::Swept::default();
        let sweep = async |tx: &mut _| {
            swept = lifecycle::sweep(tx, run.now()).await?;
            Ok(Some(json!({ "building": swept.building, "purging": swept.purging })))
        };
        let finished = run.finish(sweep).await?;
        if swept.building > 0 {
            tracing::warn!(
                tenants = swept.building,
                "tenants without a job that builds them are to be built"
            );
        }
        if swept.purging > 0 {
            tracing::info!(tenants = swept.purging, "deleted tenants are to be purged");
        }
        Ok(finished)
    }
}
