//! Is the process alive. Asks no dependency: one that is away is no reason to restart.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Liveness {
    /// Always `alive`.
    #[schema(example = "alive")]
    pub(crate) status: &'static str,
}

/// Is the process alive
#[utoipa::path(
    get, path = "/livez", tag = "service",
    responses((status = 200, description = "It is.", body = Liveness)),
)]
pub(crate) async fn get_livez() -> HttpResponse {
    HttpResponse::Ok().json(Liveness { status: "alive" })
}
