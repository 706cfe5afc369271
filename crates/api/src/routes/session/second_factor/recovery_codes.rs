//! Get other recovery codes.

use actix_web::HttpRequest;
use bulkhead_auth::{FactorTx as _, second_factor};
use serde_json::json;

use super::{CodeRequest, HAS_NONE, RecoveryCodesResponse, with_code};
use crate::{
    http::{
        answer::Answer,
        call::{AnyCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json},
    },
    routes::session::person::Person,
};

/// Get other recovery codes
///
/// They take the place of all that you have.
#[utoipa::path(
    post, path = "/v1/auth/second-factor/recovery-codes", tag = "auth", params(IdempotencyKeyHeader), request_body = CodeRequest,
    responses((status = 200, description = "Made.", body = RecoveryCodesResponse)),
)]
pub(crate) async fn renew_recovery_codes(
    request: HttpRequest,
    call: AnyCall,
    Json(body): Json<CodeRequest>,
) -> Result<Answer, ApiError> {
    match call {
        AnyCall::Tenant(call) => renew(&request, &call, &body.code).await,
        AnyCall::Operator(call) => renew(&request, &call, &body.code).await,
    }
}

async fn renew<Caller: Person>(request: &HttpRequest, call: &Caller, code: &str) -> Result<Answer, ApiError> {
    let (person, _) = call.login()?;
    with_code(request, call, async |tx: &mut Caller::Tx| {
        if !tx.has_factor(person).await? {
            return Err(HAS_NONE);
        }
        let codes = second_factor::renew_recovery(tx, &call.state().keyring, person, code, call.at()).await?;
        let Some(codes) = codes else { return Ok(None) };
        let answer = Answer::ok(&RecoveryCodesResponse::from(&codes))?.showing_secret();
        Ok(Some(Written::changed(call.subject(), json!({}), answer)))
    })
    .await
}
