//! End a session.

use actix_web::{HttpRequest, web::Data};

use super::RefreshRequest;
use crate::{answer::Answer, error::ApiError, extract::Json, state::AppState};

/// Log out
///
/// Ends the session; its access tokens stop working within seconds. A token that is not good any more is answered
/// alike.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "auth", request_body = RefreshRequest,
    responses((status = 204, description = "Logged out.")),
)]
pub(crate) async fn logout(
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<RefreshRequest>,
) -> Result<Answer, ApiError> {
    state.admit_credential_attempt(&request)?;
    state.authenticator.logout(&state.db, &body.value.refresh_token, state.clock.now()).await?;
    Ok(Answer::no_content())
}
