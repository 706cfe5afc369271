//! Begin a log-in at an identity provider.

use actix_web::{HttpRequest, HttpResponse, http::header, web::Data};
use bulkhead_auth::AuthError;
use bulkhead_domain::IdentityProviderId;

use super::{callback_of, cookie};
use crate::http::{error::ApiError, extract::Id, state::AppState};

/// Log in at an identity provider
///
/// Opened in a browser, which is sent to the provider's own page and from there back to
/// `/v1/auth/federated/{id}/callback`. That address has to be registered there. The browser is given a cookie, which it has to
/// bring along within ten minutes.
#[utoipa::path(
    get, path = "/v1/auth/federated/{id}/start", tag = "auth",
    params(("id" = String, Path, description = "The provider's id.", example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 302, description = "To the provider's page.")),
)]
pub(crate) async fn start_federated_login(
    state: Data<AppState>,
    request: HttpRequest,
    Id(id): Id<IdentityProviderId>,
) -> Result<HttpResponse, ApiError> {
    let (now, handle) = (state.clock.now(), cookie::get(&state, &request));
    let back_to = callback_of(&state, id);
    let begun = state.authenticator.begin_federated_login(&state.db, id, &back_to, handle, now).await;
    let begun = begun.map_err(|error| match error {
        AuthError::Invalid => ApiError::NotFound,
        other => other.into(),
    })?;
    Ok(HttpResponse::Found()
        .insert_header((header::LOCATION, begun.location))
        .insert_header((header::SET_COOKIE, cookie::set(&state, &begun.handle)))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}
