//! How the service is doing, for people.

use actix_web::{HttpResponse, web::Data};

use crate::http::{health::Readiness, state::AppState};

/// How is it doing
///
/// The state of the node. Always 200 while the process answers; machines ask `/readyz`.
#[utoipa::path(
    get, path = "/health", tag = "service",
    responses((status = 200, description = "The state.", body = Readiness)),
)]
pub(crate) async fn get_health(state: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok().json(Readiness::from(&*state.health))
}
