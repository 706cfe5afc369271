//! The public keys that verify access tokens.

use actix_web::{HttpResponse, http::header, web::Data};
use bulkhead_auth::rotation::JWKS_MAX_AGE;

use crate::http::state::AppState;

/// Public keys
///
/// A JSON Web Key Set (RFC 7517). May be kept for five minutes: a new key is published longer than that before it signs, unless
/// the one before it had to be withdrawn at once. Read it again when a token names a key that is not in it.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "service",
    responses((status = 200, description = "The keys.", content_type = "application/jwk-set+json", body = Object)),
)]
pub(crate) async fn get_jwks(state: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, format!("public, max-age={}", JWKS_MAX_AGE.num_seconds())))
        .content_type("application/jwk-set+json")
        .body(state.authenticator.jwks())
}
