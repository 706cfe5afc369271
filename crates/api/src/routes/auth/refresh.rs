//! Exchange a refresh token for the next pair of tokens.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::AuthError;
use bulkhead_telemetry::metrics::Credential;

use super::{RefreshRequest, TokenResponse};
use crate::{answer::Answer, error::ApiError, extract::Json, state::AppState};

/// Refresh a session
///
/// Each refresh token works once. Using one again ends its session: it has been stolen, or its thief has used it.
#[utoipa::path(
    post, path = "/v1/auth/refresh", tag = "auth", request_body = RefreshRequest,
    responses((status = 200, description = "The next pair of tokens.", body = TokenResponse)),
)]
pub(crate) async fn refresh(
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<RefreshRequest>,
) -> Result<Answer, ApiError> {
    state.admit_credential_attempt(&request)?;
    let result = state.authenticator.refresh(&state.db, &body.value.refresh_token, state.clock.now()).await;
    state.count(Credential::RefreshToken, &result);
    let tokens = result.map_err(|error| match error {
        // Nobody has sent a password that could be wrong.
        AuthError::Invalid => ApiError::InvalidCredentials,
        other => other.into(),
    })?;
    Answer::ok(&TokenResponse::from(tokens))
}
