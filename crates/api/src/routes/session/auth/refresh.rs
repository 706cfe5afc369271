//! Exchange a refresh token for the next pair of tokens.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::Request;
use bulkhead_telemetry::metrics::Credential;

use super::{RefreshRequest, TokenResponse};
use crate::http::{answer::Answer, context, error::ApiError, extract::Json, state::AppState};

/// Refresh a session
///
/// Each refresh token works once. One whose answer was lost may be sent again, and is answered with the same next one as long as
/// that was never used. Using it after that ends its session: it has been stolen, or its thief has used it.
#[utoipa::path(
    post, path = "/v1/auth/refresh", tag = "auth", request_body = RefreshRequest,
    responses((status = 200, description = "The next pair of tokens.", body = TokenResponse)),
)]
pub(crate) async fn refresh(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<RefreshRequest>,
) -> Result<Answer, ApiError> {
    let presented = state.presented(&request);
    let admit = async |tenant: &_| state.admit_session(tenant).await;
    let now = state.clock.now();
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let client = state.client(&request).to_string();
    let (db, asked) = (&state.db, Request { id: context.id.as_str(), address: &client });
    let result = state.authenticator.refresh(db, &body.refresh_token, &asked, admit, now).await;
    state.count(Credential::RefreshToken, &result);
    let tokens = presented.settle(result).map_err(|error| match error {
        // The request carries no password that could be wrong.
        ApiError::LoginFailed => ApiError::InvalidCredentials,
        other => other,
    })?;
    Answer::ok(&TokenResponse::from(tokens))
}
