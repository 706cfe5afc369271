//! Builds a tenant: role, schema, first owner, and the word that it is in service.

use std::time::Duration;

use bulkhead_db::{
    Authority, DbError,
    fleet::{
        migrate::TENANT_MIGRATIONS,
        provision::{Provisioned, provision_tenant},
    },
    platform::tenants,
};
use bulkhead_jobs::ProvisionTenant;
use serde_json::json;

use crate::{Finished, Handle, JobContext, JobError};

/// One transaction builds everything and finishes the job, so a run that dies anywhere leaves nothing behind. Retry:
/// everything, save a tenant that does not exist.
impl Handle for ProvisionTenant {
    const TIMEOUT: Duration = Duration::from_mins(5);

    async fn run(self, context: &JobContext) -> Result<Finished, JobError> {
        let build = async |tx: &mut _| {
            let built =
                provision_tenant(tx, TENANT_MIGRATIONS, self.tenant, context.id(), context.now()).await?;
            let outcome = match built {
                Provisioned::Built => "built",
                Provisioned::AlreadyActive => "already_active",
                Provisioned::Withdrawn => "withdrawn",
            };
            context.finish(tx, Some(json!({ "tenant": self.tenant, "outcome": outcome }))).await
        };
        let known = async |tx: &mut _| tenants::find(tx, self.tenant).await;
        if context.db().platform_read(Authority::machinery(), known).await?.is_none() {
            return Err(JobError::abort("there is no such tenant"));
        }
        Ok(context.owner().write::<_, DbError>(build).await?)
    }
}
