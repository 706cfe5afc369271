//! Operations: long work that a client waits for. An operation is a background job, seen from outside.

mod get;

use bulkhead_db::platform::queue::JobState;
use bulkhead_domain::{JobId, operator_permission, permission};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::operation::{Access, operations};

operations! {
    get::get_operation => Access::Either(permission::READ_JOBS, operator_permission::READ_OPERATIONS), [];
}

/// Work that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationResponse {
    /// Its id.
    #[schema(value_type = String, example = "job_01jd3e2x6m7k9v4q8t5b2n0c1d")]
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
    #[schema(value_type = Option<Object>, example = json!({"tenant": "ten_01jd3e2x6m7k9v4q8t5b2n0c1d"}))]
    result: Option<Value>,
    /// Why it failed.
    #[schema(example = json!(null))]
    error: Option<String>,
}

impl OperationResponse {
    /// Work that has just been accepted.
    pub(crate) fn queued(id: JobId, result: Value) -> Self {
        Self {
            id,
            state: JobState::Queued.as_str(),
            done: false,
            progress: 0,
            result: Some(result),
            error: None,
        }
    }

    fn new(id: JobId, state: JobState, progress: i16, result: Option<Value>, error: Option<String>) -> Self {
        let done = matches!(state, JobState::Succeeded | JobState::Failed);
        Self { id, state: state.as_str(), done, progress, result, error }
    }
}
