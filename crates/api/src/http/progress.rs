//! How work that goes on in the background is shown. An operation is a background job, seen from outside.

use bulkhead_db::platform::queue::{JobRow, JobState};
use bulkhead_domain::JobId;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Work that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperationResponse {
    /// Its id.
    #[schema(value_type = String, example = "job_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: JobId,
    /// `queued`, `running`, `succeeded` or `failed`.
    #[schema(example = "running")]
    state: &'static str,
    /// Whether it has come to its end.
    #[schema(example = false)]
    done: bool,
    /// How far it is, in percent.
    #[schema(example = 40)]
    progress: i16,
    /// What it has yielded so far or in the end.
    #[schema(value_type = Option<Object>, example = json!({"tenant": "ten_01jd3e2x6m7k9v4q8t5b2n0c1c"}))]
    result: Option<Value>,
    /// Why it failed.
    #[schema(example = json!(null))]
    error: Option<String>,
}

impl OperationResponse {
    /// Work that has just been accepted, and what is known of its result.
    pub(crate) const fn queued(id: JobId, result: Option<Value>) -> Self {
        Self { id, state: JobState::Queued.as_str(), done: false, progress: 0, result, error: None }
    }

    /// A job as it is now.
    pub(crate) fn of(job: JobRow) -> Self {
        let done = job.state.is_final();
        // Why an attempt failed is for our logs until the job is given up.
        let error = job.error.filter(|_| job.state == JobState::Failed);
        Self {
            id: job.id,
            state: job.state.as_str(),
            done,
            progress: job.progress,
            result: job.result,
            error,
        }
    }
}
