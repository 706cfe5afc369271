//! What a tenant's handler works with beside its transactions: the settings of its extension, and work for later.

use std::fmt::Display;

use bulkhead_config::section::Settings;
use bulkhead_db::{TenantTx, gate::jobs};
use bulkhead_domain::JobId;
use bulkhead_jobs::TenantJob;

use serde_json::json;

use super::{TenantCall, Written};
use crate::http::{answer::Answer, error::ApiError};

impl TenantCall {
    /// What the extension is set to. Settings that the application has not registered are an error of ours (500).
    pub fn settings<S: Settings>(&self) -> Result<&S, ApiError> {
        self.state()
            .extensions
            .get()
            .ok_or_else(|| ApiError::internal(format!("the settings of {} are not registered", S::OWNER)))
    }

    /// Asks for a job, which is run as soon as possible once the transaction is committed, and never if it is not. Its id is the
    /// id of the operation that the client follows ([`crate::Answer::accepted`]).
    pub async fn enqueue<J: TenantJob>(&self, tx: &mut TenantTx, job: &J) -> Result<JobId, ApiError> {
        Ok(jobs::enqueue(tx, job, None, self.at()).await?)
    }

    /// Asks for a job about `target`, the id of a thing, and answers with where to follow it: 202, whose body is an
    /// [`OperationResponse`](crate::OperationResponse). The audit log keeps which job it was.
    pub async fn start<J: TenantJob>(
        &self,
        tx: &mut TenantTx,
        target: impl Display,
        job: &J,
    ) -> Result<Written, ApiError> {
        let id = self.enqueue(tx, job).await?;
        Ok(Written::changed(target, json!({ "job": id }), Answer::accepted(id)?))
    }

    /// What [`Self::enqueue`] does, once for each `key` in this tenant: where a job of this kind was asked for with the key
    /// before, whatever has become of it, nothing is added, and that job's id is returned. The key names what the job is about,
    /// in at most 255 bytes; one that a client has chosen lets the client decide what is not done.
    pub async fn enqueue_once<J: TenantJob>(
        &self,
        tx: &mut TenantTx,
        job: &J,
        key: &str,
    ) -> Result<JobId, ApiError> {
        Ok(jobs::enqueue(tx, job, Some(key), self.at()).await?)
    }
}
