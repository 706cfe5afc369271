//! Follow an operation.

use bulkhead_db::{gate::jobs, platform::queue};
use bulkhead_domain::JobId;

use crate::http::{answer::Answer, call::AnyCall, error::ApiError, extract::Id, progress::OperationResponse};

/// Follow an operation
///
/// Until `done` is true. A tenant sees its own operations, an operator those of the platform.
#[utoipa::path(
    get, path = "/v1/operations/{id}", tag = "operations",
    params(("id" = String, Path, description = "The operation's id.", example = "job_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 200, description = "The operation.", body = OperationResponse)),
)]
pub(crate) async fn get_operation(call: AnyCall, Id(id): Id<JobId>) -> Result<Answer, ApiError> {
    let found = match call {
        AnyCall::Tenant(call) => call.read(async |tx| jobs::find(tx, id).await).await?,
        AnyCall::Operator(call) => call.read(async |tx| queue::operation(tx, id).await).await?,
    };
    Answer::ok(&OperationResponse::of(found.ok_or(ApiError::NotFound)?))
}
