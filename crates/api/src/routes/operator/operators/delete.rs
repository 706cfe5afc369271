//! Remove an operator.

use bulkhead_db::platform::{operators, revocations::revoke_operator};
use bulkhead_domain::OperatorId;
use serde_json::json;

use super::update::changeable;
use crate::http::{
    answer::Answer,
    call::{OperatorCall, Written},
    error::ApiError,
    extract::{Id, IfMatch, IfMatchHeader},
};

/// Remove an operator
///
/// Their sessions end, their API keys are gone, and their tokens stop working within seconds: those with which they act as a
/// tenant's people, too.
#[utoipa::path(
    delete, path = "/v1/admin/operators/{id}", tag = "operators: operators",
    params(("id" = String, Path, description = "The operator's id.", example = "opr_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader),
    responses((status = 204, description = "Removed.")),
)]
pub(crate) async fn delete_operator(
    call: OperatorCall,
    Id(id): Id<OperatorId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        let current = changeable(tx, &call, id, None, if_match).await?;
        operators::take_back_made_by(tx, &id.to_string()).await?;
        operators::delete(tx, id).await?;
        revoke_operator(tx, id).await?;
        let changes = json!({ "email": current.email, "role": current.role });
        Ok(Written::changed(id, changes, Answer::no_content()))
    })
    .await
}
