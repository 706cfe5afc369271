//! A person's own second factor: codes of their phone beside the password.

mod begin;
mod confirm;
mod disable;
mod get;
mod recovery_codes;

use std::cell::Cell;

use actix_web::HttpRequest;
use bulkhead_auth::{AuthError, RecoveryCodes, SessionTx as _, TotpSecret};
use serde::Serialize;
use utoipa::ToSchema;

use super::person::Person;
use crate::http::{
    answer::Answer,
    call::Written,
    error::ApiError,
    extract::RequestBody,
    operation::{Access, operations},
};

operations! {
    get::get_second_factor => Access::Person, [];
    begin::begin_second_factor => Access::Person, [HAS_ONE];
    confirm::confirm_second_factor => Access::Person, [];
    disable::disable_second_factor => Access::Person, [HAS_NONE];
    recovery_codes::renew_recovery_codes => Access::Person, [HAS_NONE];
}

const HAS_ONE: ApiError =
    ApiError::WrongState("You have a second factor. Disable it first, if it shall be another one.");
const HAS_NONE: ApiError = ApiError::WrongState("You have no second factor.");
const REQUIRED: ApiError = ApiError::WrongState("You must have a second factor; it cannot be disabled.");

/// The secret of a second factor that is to be confirmed.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecondFactorSecretResponse {
    /// The secret in base32, to be typed into an authenticator app. It is shown this once.
    #[schema(example = "JBSWY3DPEHPK3PXP…")]
    secret: String,
    /// The same as an address, which apps read from a picture (QR code).
    #[schema(example = "otpauth://totp/Bulkhead:grace%40example.com?secret=JBSWY3DPEHPK3PXP…")]
    otpauth_uri: String,
}

impl SecondFactorSecretResponse {
    /// Shows a secret for the account of this address, below the name of the application.
    pub(super) fn new(secret: &TotpSecret, application: &str, email: &str) -> Self {
        Self { secret: secret.reveal(), otpauth_uri: secret.uri(application, email) }
    }
}

/// Codes for the day on which the phone is gone.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodesResponse {
    /// Ten codes, each of which works once in place of one of the phone. They are shown this once: write them down.
    #[schema(example = json!(["abcde-fghjk"]))]
    recovery_codes: Vec<String>,
}

impl From<&RecoveryCodes> for RecoveryCodesResponse {
    fn from(codes: &RecoveryCodes) -> Self {
        Self { recovery_codes: codes.reveal().to_vec() }
    }
}

/// A code.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeRequest {
    /// Six digits that the phone shows.
    #[schema(min_length = 6, max_length = 6, example = "287082")]
    code: String,
}

impl RequestBody for CodeRequest {}

/// Writes what a code is needed for. `work` says by `None` that the code was no good: the person is told so, nothing is written, and
/// it counts as a guess.
async fn with_code<Caller: Person>(
    request: &HttpRequest,
    call: &Caller,
    work: impl AsyncFnOnce(&mut Caller::Tx) -> Result<Option<Written>, ApiError>,
) -> Result<Answer, ApiError> {
    let is_wrong = Cell::new(false);
    let write = async || {
        let judge = async |tx: &mut Caller::Tx| {
            let written = work(tx).await?;
            is_wrong.set(written.is_none());
            written.ok_or_else(wrong_code)
        };
        let answer = call.change(judge).await;
        if is_wrong.get() { Ok::<_, ApiError>(None) } else { answer.map(Some) }
    };
    let from = call.state().presented(request).address();
    let done = call.state().authenticator.with_code(call.subject(), from, call.at(), write).await?;
    done.ok_or_else(wrong_code)
}

/// Refuses another password than the caller's.
async fn check_password<Caller: Person>(
    request: &HttpRequest,
    call: &Caller,
    password: &str,
) -> Result<(), ApiError> {
    let (person, _) = call.login()?;
    let find = async |tx: &mut Caller::Tx| Ok(tx.own_credential(person).await?);
    let (_, stored) = call.look(find).await?.ok_or(ApiError::InvalidCredentials)?;
    let from = call.state().presented(request).address();
    let checked = call.state().authenticator.check_own_password(
        call.subject(),
        call.group(),
        from,
        password,
        stored,
        call.at(),
    );
    checked.await.map_err(|error| match error {
        AuthError::Invalid => ApiError::field("/current_password", "is not your password"),
        other => other.into(),
    })
}

/// What is told of a code that is no good, to somebody who is logged in.
fn wrong_code() -> ApiError {
    ApiError::field("/code", "is wrong, was used or is too old")
}
