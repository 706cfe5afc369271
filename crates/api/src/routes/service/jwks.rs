//! The public keys that verify access tokens.

use actix_web::{HttpResponse, http::header, web::Data};

use crate::http::state::AppState;

/// Public keys
///
/// A JSON Web Key Set (RFC 7517). May be kept for five minutes: a new key is published that long before it signs.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "service",
    responses((status = 200, description = "The keys.", content_type = "application/jwk-set+json", body = Object)),
)]
pub(crate) async fn get_jwks(state: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .content_type("application/jwk-set+json")
        .body(state.authenticator.jwks())
}
