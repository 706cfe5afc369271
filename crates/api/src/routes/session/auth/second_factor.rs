//! The second step of a log-in.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::{CodeAttempt, Request};
use bulkhead_telemetry::metrics::Credential;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{TokenResponse, login::user_agent};
use crate::{
    http::{
        answer::Answer,
        context,
        error::ApiError,
        extract::{Json, RequestBody},
        state::AppState,
    },
    routes::session::second_factor::SecondFactorSecretResponse,
};

/// The challenge of a log-in, and a code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginCodeRequest {
    /// The `challenge` of the problem that `/v1/auth/login` was answered with; it is good for five minutes.
    #[schema(example = "bh_lc_…")]
    challenge: String,
    /// Six digits that the phone shows, or a recovery code.
    #[schema(min_length = 6, max_length = 20, example = "287082")]
    code: String,
}

impl RequestBody for LoginCodeRequest {}

/// Tokens of a session, and recovery codes where a second factor was set up by this log-in.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoginCodeResponse {
    #[serde(flatten)]
    tokens: TokenResponse,
    /// Ten codes, each of which works once in place of one of the phone, when this log-in has confirmed your second factor. They are
    /// shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, example = json!(["abcde-fghjk"]))]
    recovery_codes: Option<Vec<String>>,
}

/// Log in with a code
///
/// The second step of a log-in whose first was answered 403 `second-factor-required`, or `second-factor-enrolment-required` when the
/// secret that `/v1/auth/login/second-factor/enrolment` gives was put into an authenticator app. Each code works once. After ten that
/// are wrong a person has one attempt at a time, after a wait that doubles up to a quarter of an hour; networks from which they
/// have logged in before are counted apart.
#[utoipa::path(
    post, path = "/v1/auth/login/second-factor", tag = "auth", request_body = LoginCodeRequest,
    responses((status = 200, description = "Logged in.", body = LoginCodeResponse)),
)]
pub(crate) async fn login_with_code(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<LoginCodeRequest>,
) -> Result<Answer, ApiError> {
    let presented = state.presented(&request);
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let client = state.client(&request).to_string();
    let sent = CodeAttempt {
        challenge: &body.challenge,
        code: &body.code,
        from: presented.address(),
        user_agent: user_agent(&request),
        request: Request { id: context.id.as_str(), address: &client },
    };
    let admit = async |tenant: &_| state.admit_session(tenant).await;
    let result = state.authenticator.login_with_code(&state.db, &sent, admit, state.clock.now()).await;
    state.count(Credential::Password, &result);
    let (tokens, recovery) = presented.settle(result).map_err(failed)?;
    let recovery_codes = recovery.map(|codes| codes.reveal().to_vec());
    Answer::ok(&LoginCodeResponse { tokens: tokens.into(), recovery_codes })
}

/// The challenge of a log-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolmentRequest {
    /// The `challenge` of the problem that `/v1/auth/login` was answered with; it is good for five minutes.
    #[schema(example = "bh_lc_…")]
    challenge: String,
}

impl RequestBody for EnrolmentRequest {}

/// Set up a second factor to log in
///
/// For people who must have one and have none: the log-in was answered 403 `second-factor-enrolment-required`. Put the secret into an
/// authenticator app and go on with a code of it.
#[utoipa::path(
    post, path = "/v1/auth/login/second-factor/enrolment", tag = "auth", request_body = EnrolmentRequest,
    responses((status = 200, description = "The secret.", body = SecondFactorSecretResponse)),
)]
pub(crate) async fn enrol_to_log_in(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<EnrolmentRequest>,
) -> Result<Answer, ApiError> {
    let presented = state.presented(&request);
    let admit = async |tenant: &_| state.admit_session(tenant).await;
    let enrolled =
        state.authenticator.enrol_with_challenge(&state.db, &body.challenge, admit, state.clock.now()).await;
    let (secret, email) = presented.settle(enrolled).map_err(failed)?;
    Answer::ok(&SecondFactorSecretResponse::new(&secret, state.options.about.title, &email))
}

/// The request carries no password that could be wrong.
fn failed(error: ApiError) -> ApiError {
    match error {
        ApiError::LoginFailed => ApiError::SecondFactorFailed,
        other => other,
    }
}
