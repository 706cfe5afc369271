//! End a session.

use actix_web::{HttpRequest, web::Data};
use bulkhead_auth::Request;

use super::RefreshRequest;
use crate::http::{answer::Answer, context, error::ApiError, extract::Json, state::AppState};

/// Log out
///
/// Ends the session; its access tokens stop working within seconds. Any refresh token that the session has had will do, also
/// one that was exchanged meanwhile. A token of no living session is answered alike.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "auth", request_body = RefreshRequest,
    responses((status = 204, description = "Logged out.")),
)]
pub(crate) async fn logout(
    state: Data<AppState>,
    request: HttpRequest,
    Json(body): Json<RefreshRequest>,
) -> Result<Answer, ApiError> {
    let presented = state.presented(&request);
    let context = context::of(&request).ok_or_else(|| ApiError::internal("no context"))?;
    let client = state.client(&request).to_string();
    let asked = Request { id: context.id.as_str(), address: &client };
    let token = &body.refresh_token;
    let result = state.authenticator.logout(&state.db, token, &asked, state.clock.now()).await;
    match presented.settle(result) {
        // A client that logs out is not told whether it was logged in.
        Ok(()) | Err(ApiError::LoginFailed) => Ok(Answer::no_content()),
        Err(error) => Err(error),
    }
}
