//! What this is.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

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
    docs: &'static str,
    /// Where to read about it.
    #[schema(example = "/redoc")]
    reference: &'static str,
    /// Where programs read about it.
    #[schema(example = "/openapi.json")]
    openapi: &'static str,
}

/// What is this
#[utoipa::path(
    get, path = "/", tag = "service",
    responses((status = 200, description = "Name, version and where to read on.", body = ServiceInfo)),
)]
pub(crate) async fn get_service_info() -> HttpResponse {
    HttpResponse::Ok().json(ServiceInfo {
        name: "bulkhead",
        version: env!("CARGO_PKG_VERSION"),
        docs: "/docs",
        reference: "/redoc",
        openapi: "/openapi.json",
    })
}
