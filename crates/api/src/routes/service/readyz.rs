//! Should this node be sent requests.

use actix_web::{HttpResponse, web::Data};

use crate::http::{
    health::{Readiness, tell_public},
    state::AppState,
};

/// Is this node ready
///
/// Not while it starts, drains, or has lost what it cannot serve without.
#[utoipa::path(
    get, path = "/readyz", tag = "service",
    responses(
        (status = 200, description = "Send it requests.", body = Readiness),
        (status = 503, description = "Do not.", body = Readiness),
    ),
)]
pub(crate) async fn get_readyz(state: Data<AppState>) -> HttpResponse {
    tell_public(&state.health)
}
