//! Get the secret of a second factor.

use actix_web::HttpRequest;
use bulkhead_auth::{SessionTx as _, second_factor};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{HAS_ONE, SecondFactorSecretResponse, check_password};
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
pub(crate) struct BeginSecondFactorRequest {
    /// Your password.
    #[schema(format = Password, example = "correct horse battery staple")]
    current_password: String,
}

impl RequestBody for BeginSecondFactorRequest {}

/// Set up a second factor
///
/// Put the secret into an authenticator app, and send a code of it to `/v1/auth/second-factor/confirm`: from then on you need one for
/// each log-in. Until then nothing changes, and a secret that you ask for again takes the place of this one.
#[utoipa::path(
    post, path = "/v1/auth/second-factor", tag = "auth", params(IdempotencyKeyHeader), request_body = BeginSecondFactorRequest,
    responses((status = 201, description = "Made.", body = SecondFactorSecretResponse)),
)]
pub(crate) async fn begin_second_factor(
    request: HttpRequest,
    call: AnyCall,
    Json(body): Json<BeginSecondFactorRequest>,
) -> Result<Answer, ApiError> {
    match call {
        AnyCall::Tenant(call) => begin(&request, &call, &body).await,
        AnyCall::Operator(call) => begin(&request, &call, &body).await,
    }
}

async fn begin<Caller: Person>(
    request: &HttpRequest,
    call: &Caller,
    body: &BeginSecondFactorRequest,
) -> Result<Answer, ApiError> {
    let (person, _) = call.login()?;
    check_password(request, call, &body.current_password).await?;
    let application = call.state().options.about.title;
    call.change(async |tx| {
        let (email, _) = tx.own_credential(person).await?.ok_or(ApiError::InvalidCredentials)?;
        let secret = second_factor::begin(tx, &call.state().keyring, person, call.at()).await?;
        let view = SecondFactorSecretResponse::new(&secret.ok_or(HAS_ONE)?, application, &email);
        let answer = Answer::created("/v1/auth/second-factor".to_owned(), &view)?.showing_secret();
        Ok(Written::changed(call.subject(), json!({}), answer))
    })
    .await
}
