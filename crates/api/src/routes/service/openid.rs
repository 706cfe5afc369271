//! Where a relying party finds keys and endpoints.

use actix_web::{HttpResponse, http::header, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::state::AppState;

/// What this issuer offers (`OpenID` Connect Discovery 1.0, RFC 8414).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenidConfiguration {
    /// The `iss` of every token.
    #[schema(example = "https://api.example.com")]
    issuer: String,
    /// Where the public keys are.
    #[schema(example = "https://api.example.com/.well-known/jwks.json")]
    jwks_uri: String,
    /// How tokens are signed.
    #[schema(example = json!(["RS256"]))]
    id_token_signing_alg_values_supported: [&'static str; 1],
    /// What tokens are given for by OAuth's rules: nothing. They are had at `/v1/auth/login` and `/v1/auth/refresh`, which take JSON,
    /// so there is no token endpoint either.
    #[schema(example = json!([]))]
    grant_types_supported: [&'static str; 0],
    /// What may be asked for: nothing interactive.
    response_types_supported: [&'static str; 1],
    /// One subject for every audience.
    subject_types_supported: [&'static str; 1],
}

/// Issuer metadata
#[utoipa::path(
    get, path = "/.well-known/openid-configuration", tag = "service",
    responses((status = 200, description = "The metadata.", body = OpenidConfiguration)),
)]
pub(crate) async fn get_openid_configuration(state: Data<AppState>) -> HttpResponse {
    metadata(&state)
}

/// Issuer metadata for OAuth
///
/// The same as `/.well-known/openid-configuration`, for clients that look where RFC 8414 has it. Where the issuer has a path, it
/// is served at the path that RFC 8414 makes of it, too.
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "service",
    responses((status = 200, description = "The metadata.", body = OpenidConfiguration)),
)]
pub(crate) async fn get_authorization_server(state: Data<AppState>) -> HttpResponse {
    metadata(&state)
}

fn metadata(state: &AppState) -> HttpResponse {
    // The issuer may be a name under which nothing of this is served.
    let (issuer, served_at) = (&state.options.issuer, &state.options.public_url);
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).json(
        OpenidConfiguration {
            issuer: issuer.clone(),
            jwks_uri: format!("{served_at}/.well-known/jwks.json"),
            id_token_signing_alg_values_supported: ["RS256"],
            grant_types_supported: [],
            response_types_supported: ["token"],
            subject_types_supported: ["public"],
        },
    )
}
