//! Add an operator.

use bulkhead_auth::OperatorResetToken;
use bulkhead_db::platform::operators::{self, NO_PASSWORD};
use bulkhead_domain::{Email, OperatorId, RoleName, operator_permission::WRITE_OPERATORS};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{InvitedOperatorResponse, invited};
use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json, RequestBody},
        validation::{Fields, taken},
    },
    routes::operator::{grants, refused},
};

/// An operator to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateOperatorRequest {
    /// Their address; they log in with it, in any spelling.
    #[schema(max_length = 254, example = "grace@example.com")]
    email: String,
    /// What they may do: `admin`, `support`, `billing` or a role that `/v1/admin/roles` lists besides.
    #[schema(example = "support")]
    role: String,
}

impl RequestBody for CreateOperatorRequest {}

/// Add an operator
///
/// The answer has a token that works once, for a day. Hand it to the operator by a way that you trust: they set their password with
/// it at `/v1/auth/password/reset`, and cannot log in before. You can give a role that holds no more than your own.
#[utoipa::path(
    post, path = "/v1/admin/operators", tag = "operators: operators", params(IdempotencyKeyHeader),
    request_body = CreateOperatorRequest,
    responses((status = 201, description = "Added.", body = InvitedOperatorResponse)),
)]
pub(crate) async fn create_operator(
    call: OperatorCall,
    Json(body): Json<CreateOperatorRequest>,
) -> Result<Answer, ApiError> {
    let (email, role) = parse(&call, &body)?;
    let at = call.at();
    let id = OperatorId::mint(at);
    let token = OperatorResetToken::issue(&call.state().keyring, id).map_err(ApiError::internal)?;
    call.write(async |tx| {
        grants(tx, &call, WRITE_OPERATORS).await?.may_give(role).map_err(refused)?;
        let added = operators::insert(tx, id, email.as_str(), NO_PASSWORD, role, at).await;
        added.map_err(taken("e-mail address"))?;
        let operator = operators::find(tx, id).await?.ok_or(ApiError::NotFound)?;
        let view = invited(tx, &call, &token, operator).await?;
        let changes = json!({ "email": email.as_str(), "role": role });
        let answer = Answer::created(format!("/v1/admin/operators/{id}"), &view)?;
        Ok(Written::changed(id, changes, answer.showing_secret()))
    })
    .await
}

fn parse(call: &OperatorCall, body: &CreateOperatorRequest) -> Result<(Email, RoleName), ApiError> {
    let mut fields = Fields::default();
    let email = fields.take("/email", body.email.parse::<Email>());
    let role = fields.take("/role", call.state().access().operators().read_role(&body.role));
    fields.finish()?;
    email.zip(role).ok_or_else(|| ApiError::internal("fields that were refused"))
}
