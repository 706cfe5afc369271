//! Read one operator.

use bulkhead_db::platform::operators;
use bulkhead_domain::OperatorId;

use super::OperatorResponse;
use crate::http::{answer::Answer, call::OperatorCall, error::ApiError, extract::Id};

/// Read an operator
#[utoipa::path(
    get, path = "/v1/admin/operators/{id}", tag = "operators: operators",
    params(("id" = String, Path, description = "The operator's id.", example = "opr_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 200, description = "The operator.", body = OperatorResponse)),
)]
pub(crate) async fn get_operator(call: OperatorCall, Id(id): Id<OperatorId>) -> Result<Answer, ApiError> {
    let operator = call.read(async |tx| operators::find(tx, id).await).await?.ok_or(ApiError::NotFound)?;
    let version = operator.version;
    Ok(Answer::ok(&OperatorResponse::from(operator))?.version(version))
}
