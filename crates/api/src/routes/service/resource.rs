//! What this API is to a client that has been asked for a token.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, http::header, web::Data};
use bulkhead_domain::access::Side;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::state::AppState;

/// What a protected resource says of itself (RFC 9728).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProtectedResource {
    /// Where the API is reached.
    #[schema(example = "https://api.example.com")]
    resource: String,
    /// Its name.
    #[schema(example = "bulkhead")]
    resource_name: &'static str,
    /// Where people read about it.
    #[schema(example = "https://api.example.com/docs")]
    resource_documentation: String,
    /// The issuers whose tokens it takes.
    #[schema(example = json!(["https://api.example.com"]))]
    authorization_servers: [String; 1],
    /// How a token is sent: in the `Authorization` header.
    #[schema(example = json!(["header"]))]
    bearer_methods_supported: [&'static str; 1],
    /// The permissions that operations need, of tenants and of operators.
    #[schema(example = json!(["read:users", "write:users"]))]
    scopes_supported: BTreeSet<&'static str>,
}

/// Resource metadata
///
/// Where a client finds it that was refused: `resource_metadata` of `WWW-Authenticate` says so. Where the API is reached below a
/// path, it is served at the path that RFC 9728 makes of it, too.
#[utoipa::path(
    get, path = "/.well-known/oauth-protected-resource", tag = "service",
    responses((status = 200, description = "The metadata.", body = ProtectedResource)),
)]
pub(crate) async fn get_protected_resource(state: Data<AppState>) -> HttpResponse {
    let served_at = &state.options.public_url;
    let names = |side: &Side| -> Vec<&'static str> {
        side.roles().iter().flat_map(|role| side.names(role.permissions())).collect()
    };
    let access = state.access();
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).json(ProtectedResource {
        resource: served_at.clone(),
        resource_name: state.options.about.name,
        resource_documentation: format!("{served_at}/docs"),
        authorization_servers: [state.options.issuer.clone()],
        bearer_methods_supported: ["header"],
        scopes_supported: names(access.tenants()).into_iter().chain(names(access.operators())).collect(),
    })
}
