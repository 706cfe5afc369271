//! Change one's own password.

use actix_web::HttpRequest;
use bulkhead_auth::{AuthError, PasswordOwner, SessionTx as _};
use bulkhead_domain::Email;
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;
use utoipa::ToSchema;

use crate::{
    http::{
        answer::Answer,
        call::{AnyCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json, RequestBody},
    },
    routes::session::person::Person,
};

/// The old and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePasswordRequest {
    /// The password that you have now.
    #[schema(format = Password, example = "correct horse battery staple")]
    current_password: String,
    /// The new one, 8 to 256 characters.
    #[schema(min_length = 8, max_length = 256, format = Password, example = "a longer sentence that nobody guesses")]
    new_password: String,
}

impl RequestBody for ChangePasswordRequest {}

/// Another password was set while this one was checked.
const CHANGED: &str = "The password was changed while this request was answered. Log in with the new one.";

/// Change your password
///
/// Ends your other sessions; this one goes on. After ten failures you have one attempt at a time, after a wait that doubles up
/// to a quarter of an hour.
#[utoipa::path(
    post, path = "/v1/auth/password", tag = "auth", params(IdempotencyKeyHeader), request_body = ChangePasswordRequest,
    responses((status = 204, description = "Changed.")),
)]
pub(crate) async fn change_password(
    request: HttpRequest,
    call: AnyCall,
    Json(body): Json<ChangePasswordRequest>,
) -> Result<Answer, ApiError> {
    match call {
        AnyCall::Tenant(call) => change(&request, call, body).await,
        AnyCall::Operator(call) => change(&request, call, body).await,
    }
}

async fn change<Caller: Person>(
    request: &HttpRequest,
    call: Caller,
    body: ChangePasswordRequest,
) -> Result<Answer, ApiError> {
    let (person, session) = call.login()?;
    let ChangePasswordRequest { current_password, new_password } = body;
    if new_password == current_password {
        return Err(ApiError::field("/new_password", "must be another password than the current one"));
    }
    let look = async |tx: &mut Caller::Tx| {
        if let Some(answer) = call.answered(tx).await? {
            return Ok(Err(answer));
        }
        let (email, stored) = tx.own_credential(person).await?.ok_or(ApiError::InvalidCredentials)?;
        let email = Email::for_login(&email);
        let owner = PasswordOwner { email: email.as_ref(), tenant: None };
        let new = call.state().options.password_rules.admit(&new_password, &owner);
        let new = new.map_err(|error| ApiError::field("/new_password", error))?;
        call.refuse_own_slug(tx, "/new_password", &new).await?;
        Ok(Ok((stored, new)))
    };
    let (stored, new) = match call.look(look).await? {
        Ok(found) => found,
        Err(answer) => return Ok(answer),
    };
    let from: IpAddr = call.state().presented(request).address();
    let authenticator = &call.state().authenticator;
    let (subject, group) = (call.subject(), call.group());
    authenticator
        .check_own_password(subject, group, from, &current_password, stored.clone(), call.at())
        .await
        .map_err(|error| match error {
            AuthError::Invalid => ApiError::field("/current_password", "is not your password"),
            other => other.into(),
        })?;
    let hash = call.state().hash(group, new).await?;
    call.change(async |tx| {
        if !tx.set_password_hash(person, &stored, &hash, call.at()).await? {
            return Err(ApiError::WrongState(CHANGED));
        }
        let ended = tx.end_others(person, Some(session)).await?;
        let changes = json!({ "sessions_ended": ended });
        Ok(Written::changed(subject, changes, Answer::no_content()))
    })
    .await
}
