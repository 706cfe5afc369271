//! Disable one's own second factor.

use actix_web::HttpRequest;
use bulkhead_auth::{FactorTx, second_factor};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{HAS_NONE, REQUIRED, check_password, with_code};
use crate::{
    http::{
        answer::Answer,
        call::{AnyCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json, RequestBody},
    },
    routes::session::person::Person,
};

/// Proof that it is the person who asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DisableSecondFactorRequest {
    /// Your password.
    #[schema(format = Password, example = "correct horse battery staple")]
    current_password: String,
    /// Six digits that the phone shows, or a recovery code.
    #[schema(min_length = 6, max_length = 20, example = "287082")]
    code: String,
}

impl RequestBody for DisableSecondFactorRequest {}

/// Disable your second factor
///
/// From now on the password alone logs you in. It is refused where you must have one.
#[utoipa::path(
    post, path = "/v1/auth/second-factor/disable", tag = "auth", params(IdempotencyKeyHeader),
    request_body = DisableSecondFactorRequest,
    responses((status = 204, description = "Disabled.")),
)]
pub(crate) async fn disable_second_factor(
    request: HttpRequest,
    call: AnyCall,
    Json(body): Json<DisableSecondFactorRequest>,
) -> Result<Answer, ApiError> {
    match call {
        AnyCall::Tenant(call) => disable(&request, &call, &body).await,
        AnyCall::Operator(call) => disable(&request, &call, &body).await,
    }
}

async fn disable<Caller: Person>(
    request: &HttpRequest,
    call: &Caller,
    body: &DisableSecondFactorRequest,
) -> Result<Answer, ApiError> {
    let (person, _) = call.login()?;
    if Caller::Tx::requires(call.state().authenticator.second_factor_rule(), call.role()) {
        return Err(REQUIRED);
    }
    check_password(request, call, &body.current_password).await?;
    with_code(request, call, async |tx: &mut Caller::Tx| {
        if !tx.has_factor(person).await? {
            return Err(HAS_NONE);
        }
        let used = second_factor::spend(tx, &call.state().keyring, person, &body.code, call.at()).await?;
        let Some(used) = used else { return Ok(None) };
        tx.remove_factor(person).await?;
        let changes = json!({ "with": used.as_str() });
        Ok(Some(Written::changed(call.subject(), changes, Answer::no_content())))
    })
    .await
}
