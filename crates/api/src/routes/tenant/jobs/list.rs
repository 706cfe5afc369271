//! List jobs.

use bulkhead_db::gate::jobs::{self, JobRow};
use bulkhead_domain::JobId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    answer::Answer,
    call::TenantCall,
    error::ApiError,
    extract::{PageQuery, PageResponse, Query},
};

/// A background job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobResponse {
    /// Its id; also that of its operation.
    #[schema(value_type = String, example = "job_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: JobId,
    /// What it does.
    #[schema(example = "purge_expired")]
    kind: String,
    /// `queued`, `running`, `succeeded` or `failed`.
    #[schema(example = "succeeded")]
    state: &'static str,
    /// How often it was tried.
    #[schema(example = 1)]
    attempts: i32,
    /// How far it is, in percent.
    #[schema(example = 100)]
    progress: i16,
    /// When it was enqueued.
    created_at: DateTime<Utc>,
    /// When it came to its end.
    finished_at: Option<DateTime<Utc>>,
}

/// List jobs
///
/// The newest first.
#[utoipa::path(
    get, path = "/v1/jobs", tag = "operations", params(PageQuery),
    responses((status = 200, description = "A page of jobs.", body = PageResponse<JobResponse>)),
)]
pub(crate) async fn list_jobs(call: TenantCall, Query(query): Query<PageQuery>) -> Result<Answer, ApiError> {
    let page = query.request(JobId::uuid)?;
    let rows = call.read(async |tx| jobs::list(tx, page).await).await?;
    let view = |row: JobRow| JobResponse {
        id: row.id,
        kind: row.kind,
        state: row.state.as_str(),
        attempts: row.attempts,
        progress: row.progress,
        created_at: row.created_at,
        finished_at: row.finished_at,
    };
    call.page(rows, |row| row.id, view)
}
