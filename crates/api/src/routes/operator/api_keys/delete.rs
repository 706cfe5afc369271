//! Revoke an API key of an operator.

use bulkhead_db::platform::operator_keys;
use bulkhead_domain::{OperatorKeyId, operator_permission::WRITE_OPERATOR_KEYS};
use serde_json::json;

use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::Id,
    },
    routes::operator::{grants, refused},
};

/// Revoke an API key of an operator
///
/// It stops working at once. Your own, or that of an operator whose role you may take away.
#[utoipa::path(
    delete, path = "/v1/admin/api-keys/{id}", tag = "operators: api-keys",
    params(("id" = String, Path, description = "The key's id.", example = "opk_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 204, description = "Revoked, now or before.")),
)]
pub(crate) async fn delete_operator_key(
    call: OperatorCall,
    Id(id): Id<OperatorKeyId>,
) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        let grants = grants(tx, &call, WRITE_OPERATOR_KEYS).await?;
        let key = operator_keys::find(tx, id).await?.ok_or(ApiError::NotFound)?;
        if let Some(operator) = grants.operators().find(key.operator_id).filter(|one| one.id != call.id()) {
            grants.may_take(operator.role).map_err(refused)?;
        }
        if !operator_keys::revoke(tx, id, call.at()).await? {
            return Ok(Written::unchanged(Answer::no_content()));
        }
        Ok(Written::changed(id, json!({ "name": key.name }), Answer::no_content()))
    })
    .await
}
