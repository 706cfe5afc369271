//! What this is.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::state::AppState;

/// What this is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServiceInfo {
    /// The service's name.
    #[schema(example = "bulkhead")]
    name: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Where to try it out.
    #[schema(example = "/docs")]
    docs: String,
    /// Where to read about it.
    #[schema(example = "/redoc")]
    reference: String,
    /// Where programs read about it.
    #[schema(example = "/openapi.json")]
    openapi: String,
}

/// What is this
#[utoipa::path(
    get, path = "/", tag = "service",
    responses((status = 200, description = "Name, version and where to read on.", body = ServiceInfo)),
)]
pub(crate) async fn get_service_info(state: Data<AppState>) -> HttpResponse {
    let at = &state.options.public_path;
    HttpResponse::Ok().json(ServiceInfo {
        name: state.options.about.name,
        version: state.options.about.version,
        docs: format!("{at}/docs"),
        reference: format!("{at}/redoc"),
        openapi: format!("{at}/openapi.json"),
    })
}
