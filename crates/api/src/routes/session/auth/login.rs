//! Log in with a password.

use actix_web::{HttpRequest, http::header, web::Data};
use bulkhead_auth::{LoginAttempt, Request};
use bulkhead_telemetry::metrics::Credential;
use serde::Deserialize;
use utoipa::ToSchema;

use super::TokenResponse;
use crate::http::{
    answer::Answer,
    context,
    error::ApiError,
    extract::{Json, RequestBody, present},
    state::AppState,
};

/// How much of a `User-Agent` is kept, in characters.
const LONGEST_AGENT: usize = 256;

/// Who logs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginRequest {
    /// The tenant's slug. Operators leave it out.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = "acme")]
    tenant: Option<String>,
    /// The e-mail address.
    #[schema(example = "owner@acme.example")]
    email: String,
    /// The password.
    #[schema(format = Password, example = "correct horse battery staple")]
    password: String,
}

impl RequestBody for LoginRequest {}

/// Log in
///
/// With a tenant's slug as one of its people, without as an operator of the platform. A wrong tenant, address or
/// password is answered alike, and in the same time. After ten failures an account takes one attempt at a time, after a
/// wait that doubles up to a quarter of an hour; addresses from which it was logged in to before are counted apart.
///
/// Who has a second factor is answered 403 `second-factor-required`, with a `challenge` that `/v1/auth/login/second-factor` takes
/// with a code. Who must have one and has none is answered 403 `second-factor-enrolment-required`, and sets one up first.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "auth", request_body = LoginRequest,
    responses((status = 200, description = "Logged in.", body = TokenResponse)),
)]
pub(crate) async fn login(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<LoginRequest>,
) -> Result<Answer, ApiError> {
    let presented = state.presented(&request);
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let client = state.client(&request).to_string();
    let LoginRequest { tenant, email, password } = body;
    let attempt = LoginAttempt {
        tenant: tenant.as_deref(),
        email: &email,
        password: &password,
        from: presented.address(),
        user_agent: user_agent(&request),
        request: Request { id: context.id.as_str(), address: &client },
    };
    let admit = async |tenant: &_| state.admit_session(tenant).await;
    let result =
        state.authenticator.login(&state.db, &attempt, || presented.ask(), admit, state.clock.now()).await;
    state.count(Credential::Password, &result);
    Answer::ok(&TokenResponse::from(presented.settle(result)?))
}

/// What the client says it is, as far as a list of sessions shows it.
pub(in crate::routes::session) fn user_agent(request: &HttpRequest) -> Option<&str> {
    let text = request.headers().get(header::USER_AGENT)?.to_str().ok()?;
    // Header values that are text have one byte for each character.
    Some(text.get(..LONGEST_AGENT).unwrap_or(text)).filter(|text| !text.is_empty())
}
