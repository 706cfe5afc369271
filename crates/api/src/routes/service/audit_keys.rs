//! The public keys that verify exports and anchors of audit logs.

use actix_web::{HttpResponse, http::header, web::Data};
use bulkhead_auth::audit_key::audit_jwks;

use crate::http::{error::ApiError, state::AppState};

/// Public keys of audit logs
///
/// A JSON Web Key Set (RFC 7517) of every key that has ever signed an export or an anchor. Keep a copy with what you keep: a
/// verifier needs the key, not us.
#[utoipa::path(
    get, path = "/.well-known/audit-keys.json", tag = "service",
    responses((status = 200, description = "The keys.", content_type = "application/jwk-set+json", body = Object)),
)]
pub(crate) async fn get_audit_keys(state: Data<AppState>) -> Result<HttpResponse, ApiError> {
    let keys = audit_jwks(&state.db).await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .content_type("application/jwk-set+json")
        .body(keys.to_string()))
}
