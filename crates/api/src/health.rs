//! How the state of the process is told.

use actix_web::HttpResponse;
use bulkhead_telemetry::{Health, health::Phase};
use serde::Serialize;
use utoipa::ToSchema;

/// What a probe is told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready`, `starting`, `draining` or `degraded`.
    #[schema(example = "ready")]
    status: &'static str,
    /// Whether PostgreSQL has answered lately. Without it nothing can be served.
    #[schema(example = true)]
    database: bool,
    /// Whether Redis has answered lately. Without it limits are enforced node by node and usage goes straight to
    /// PostgreSQL.
    #[schema(example = true)]
    redis: bool,
}

impl From<&Health> for Readiness {
    fn from(health: &Health) -> Self {
        Self { status: health.phase().as_str(), database: health.database(), redis: health.redis() }
    }
}

/// Whether the process should be sent requests: 200 or 503.
pub(crate) fn respond(health: &Health) -> HttpResponse {
    let mut response = match health.phase() {
        Phase::Ready => HttpResponse::Ok(),
        Phase::Starting | Phase::Degraded | Phase::Draining => HttpResponse::ServiceUnavailable(),
    };
    response.json(Readiness::from(health))
}
