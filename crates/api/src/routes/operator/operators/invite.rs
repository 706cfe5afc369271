//! Get a token with which an operator sets a password.

use bulkhead_auth::OperatorResetToken;
use bulkhead_domain::{OperatorId, operator_permission::WRITE_OPERATORS};
use serde_json::json;

use super::{InvitedOperatorResponse, invited};
use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::{Id, IdempotencyKeyHeader},
    },
    routes::operator::{grants, refused},
};

/// Invite an operator again
///
/// Makes a token that works once, for a day, and takes the place of the one before: for an operator who did not use theirs in time,
/// or who has forgotten their password. Until it is used nothing changes for them; then their sessions end. You may invite operators
/// alone whose role you may take away.
#[utoipa::path(
    post, path = "/v1/admin/operators/{id}/invitation", tag = "operators: operators",
    params(("id" = String, Path, description = "The operator's id.", example = "opr_01jd3e2x6m7k9v4q8t5b2n0c1c"), IdempotencyKeyHeader),
    responses((status = 201, description = "Made.", body = InvitedOperatorResponse)),
)]
pub(crate) async fn invite_operator(call: OperatorCall, Id(id): Id<OperatorId>) -> Result<Answer, ApiError> {
    let token = OperatorResetToken::issue(&call.state().keyring, id).map_err(ApiError::internal)?;
    call.write(async |tx| {
        let grants = grants(tx, &call, WRITE_OPERATORS).await?;
        let operator = grants.operators().find(id).cloned().ok_or(ApiError::NotFound)?;
        grants.may_take(operator.role).map_err(refused)?;
        let view = invited(tx, &call, &token, operator).await?;
        let changes = json!({ "invited_until": view.operator.invited_until });
        let answer = Answer::created(format!("/v1/admin/operators/{id}"), &view)?.showing_secret();
        Ok(Written::changed(id, changes, answer))
    })
    .await
}
