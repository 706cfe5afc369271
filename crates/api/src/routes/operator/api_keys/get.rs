//! Read one API key of an operator.

use bulkhead_db::platform::operator_keys;
use bulkhead_domain::OperatorKeyId;

use super::OperatorKeyResponse;
use crate::http::{answer::Answer, call::OperatorCall, error::ApiError, extract::Id};

/// Read an API key of an operator
#[utoipa::path(
    get, path = "/v1/admin/api-keys/{id}", tag = "operators: api-keys",
    params(("id" = String, Path, description = "The key's id.", example = "opk_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 200, description = "The key.", body = OperatorKeyResponse)),
)]
pub(crate) async fn get_operator_key(
    call: OperatorCall,
    Id(id): Id<OperatorKeyId>,
) -> Result<Answer, ApiError> {
    let found = call.read(async |tx| operator_keys::find(tx, id).await).await?;
    Answer::ok(&OperatorKeyResponse::from(found.ok_or(ApiError::NotFound)?))
}
