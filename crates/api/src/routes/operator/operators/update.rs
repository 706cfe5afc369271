//! Give an operator another role.

use bulkhead_db::{
    PlatformTx,
    platform::{
        operators::{self, Operator},
        revocations::revoke_operator,
    },
};
use bulkhead_domain::{OperatorId, RoleName, operator_permission::WRITE_OPERATORS};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::OperatorResponse;
use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader, Json, RequestBody},
    },
    routes::operator::{grants, refused},
};

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateOperatorRequest {
    /// The new role: `admin`, `support`, `billing` or a role that `/v1/admin/roles` lists besides.
    #[schema(example = "billing")]
    role: String,
}

impl RequestBody for UpdateOperatorRequest {}

/// Change an operator's role
///
/// Tokens issued under the old role stop working within seconds, those with which they act as a tenant's people, too, and their API
/// keys hold no more than the new role does; the operator's client gets a token of the new role with its refresh token.
#[utoipa::path(
    patch, path = "/v1/admin/operators/{id}", tag = "operators: operators", request_body = UpdateOperatorRequest,
    params(("id" = String, Path, description = "The operator's id.", example = "opr_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader),
    responses((status = 200, description = "The operator as they are now.", body = OperatorResponse)),
)]
pub(crate) async fn update_operator(
    call: OperatorCall,
    Id(id): Id<OperatorId>,
    if_match: IfMatch,
    Json(body): Json<UpdateOperatorRequest>,
) -> Result<Answer, ApiError> {
    let role = call.state().access().operators().read_role(&body.role);
    let role = role.map_err(|error| ApiError::field("/role", error))?;
    call.write(async |tx| {
        let current = changeable(tx, &call, id, Some(role), if_match).await?;
        if current.role == role {
            return Ok(Written::unchanged(shown(current)?));
        }
        let operator = operators::set_role(tx, id, role, call.at()).await?.ok_or(ApiError::NotFound)?;
        operators::take_back_made_by(tx, &id.to_string()).await?;
        revoke_operator(tx, id).await?;
        let changes = json!({ "role": { "from": current.role, "to": role } });
        Ok(Written::changed(id, changes, shown(operator)?))
    })
    .await
}

fn shown(operator: Operator) -> Result<Answer, ApiError> {
    let version = operator.version;
    Ok(Answer::ok(&OperatorResponse::from(operator))?.version(version))
}

/// The operator, locked like all others, if the caller may take their role away and somebody is left who may do everything.
/// `next` is the role that they are to have, if they stay: one that the caller may give.
pub(super) async fn changeable(
    tx: &mut PlatformTx,
    call: &OperatorCall,
    id: OperatorId,
    next: Option<RoleName>,
    if_match: IfMatch,
) -> Result<Operator, ApiError> {
    let grants = grants(tx, call, WRITE_OPERATORS).await?;
    let current = grants.operators().find(id).cloned().ok_or(ApiError::NotFound)?;
    grants.may_take(current.role).map_err(refused)?;
    next.map_or(Ok(()), |next| grants.may_give(next)).map_err(refused)?;
    let loses = current.role == RoleName::ADMIN && next != Some(RoleName::ADMIN);
    if loses && !grants.operators().has_other_admins(id) {
        return Err(ApiError::LastAdmin);
    }
    if_match.check(current.version)?;
    Ok(current)
}
