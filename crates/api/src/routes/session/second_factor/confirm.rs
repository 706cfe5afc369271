//! Confirm a second factor with its first code.

use actix_web::HttpRequest;
use bulkhead_auth::second_factor;
use serde_json::json;

use super::{CodeRequest, RecoveryCodesResponse, with_code};
use crate::{
    http::{
        answer::Answer,
        call::{AnyCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json},
    },
    routes::session::person::Person,
};

/// Confirm your second factor
///
/// From now on you need a code for each log-in. The answer has ten recovery codes, each of which works once in place of one of your
/// phone.
#[utoipa::path(
    post, path = "/v1/auth/second-factor/confirm", tag = "auth", params(IdempotencyKeyHeader), request_body = CodeRequest,
    responses((status = 200, description = "Confirmed.", body = RecoveryCodesResponse)),
)]
pub(crate) async fn confirm_second_factor(
    request: HttpRequest,
    call: AnyCall,
    Json(body): Json<CodeRequest>,
) -> Result<Answer, ApiError> {
    match call {
        AnyCall::Tenant(call) => confirm(&request, &call, &body.code).await,
        AnyCall::Operator(call) => confirm(&request, &call, &body.code).await,
    }
}

async fn confirm<Caller: Person>(
    request: &HttpRequest,
    call: &Caller,
    code: &str,
) -> Result<Answer, ApiError> {
    let (person, _) = call.login()?;
    with_code(request, call, async |tx: &mut Caller::Tx| {
        let codes = second_factor::confirm(tx, &call.state().keyring, person, code, call.at()).await?;
        let Some(codes) = codes else { return Ok(None) };
        let answer = Answer::ok(&RecoveryCodesResponse::from(&codes))?.showing_secret();
        Ok(Some(Written::changed(call.subject(), json!({}), answer)))
    })
    .await
}
