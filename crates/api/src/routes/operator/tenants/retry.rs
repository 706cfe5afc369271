//! Go on with a tenant whose job has given up.

use bulkhead_db::platform::{
    lifecycle::{self, Awaited},
    tenants,
};
use bulkhead_domain::TenantId;
use serde_json::json;

use crate::http::{
    answer::Answer,
    call::{OperatorCall, Written},
    error::ApiError,
    extract::{Id, IdempotencyKeyHeader, IfMatch, IfMatchHeader},
    progress::OperationResponse,
};

/// Retry what a tenant waits for
///
/// Asks again for the building of a tenant that is still `provisioning`, or for the removal of a deleted one that has begun
/// and is not finished. While the job is still to end there is no second one: its operation is answered, and if it waits
/// for its next attempt, it is due now. The service does the same by itself after a while.
#[utoipa::path(
    post, path = "/v1/admin/tenants/{id}/retry", tag = "operators: tenants",
    params(("id" = String, Path, description = "The tenant's id.", example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader, IdempotencyKeyHeader),
    responses((status = 202, description = "Follow the operation.", body = OperationResponse)),
)]
pub(crate) async fn retry_tenant(
    call: OperatorCall,
    Id(id): Id<TenantId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    let retry = async |tx: &mut _| {
        let current = tenants::lock(tx, id).await?.ok_or(ApiError::NotFound)?;
        if_match.check(current.version)?;
        let Awaited { job, is_changed } =
            lifecycle::retry(tx, &current, call.at()).await?.ok_or_else(nothing_to_do)?;
        let answer = Answer::accepted_with(job, Some(json!({ "tenant": id })))?;
        Ok(if is_changed {
            Written::changed(id, json!({ "operation": job }), answer)
        } else {
            Written::unchanged(answer)
        })
    };
    call.write(retry).await
}

/// What a tenant that waits for no job is answered.
pub(super) fn nothing_to_do() -> ApiError {
    ApiError::WrongState("The tenant waits for nothing: it is neither being built nor being removed.")
}
