//! How the state of the process is told: to the public, whether it serves; to probes on the port that is not for the
//! public, also what it lacks. Which dependency is down is for operators: to an attacker it says when to press on.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, HttpResponseBuilder};
use bulkhead_telemetry::{Health, health::Phase};
use serde::Serialize;
use utoipa::ToSchema;

/// What the public is told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready`, `unavailable` or `draining`.
    #[schema(example = "ready")]
    status: &'static str,
}

/// What a probe of ours is told.
#[derive(Debug, Serialize)]
struct Dependencies {
    status: &'static str,
    /// Whether PostgreSQL has answered lately. Without it nothing can be served.
    database: bool,
    /// Whether Redis has answered lately. Without it limits are enforced node by node and usage goes straight to
    /// PostgreSQL.
    redis: bool,
    /// Whether what the application's extensions depend on has answered lately. It changes nothing about the status.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: BTreeMap<&'static str, bool>,
}

impl From<&Health> for Readiness {
    fn from(health: &Health) -> Self {
        let status = match health.phase() {
            // Why is not for the public.
            Phase::Starting | Phase::Degraded => "unavailable",
            phase @ (Phase::Ready | Phase::Draining) => phase.as_str(),
        };
        Self { status }
    }
}

/// Tells the public whether the process should be sent requests: 200 or 503.
pub(crate) fn tell_public(health: &Health) -> HttpResponse {
    judged(health).json(Readiness::from(health))
}

/// Tells a machine of ours the same, and what is missing.
pub(crate) fn tell_machine(health: &Health) -> HttpResponse {
    judged(health).json(Dependencies {
        status: health.phase().as_str(),
        database: health.database(),
        redis: health.redis(),
        extensions: health.probes().collect(),
    })
}

fn judged(health: &Health) -> HttpResponseBuilder {
    match health.phase() {
        Phase::Ready => HttpResponse::Ok(),
        Phase::Starting | Phase::Degraded | Phase::Draining => HttpResponse::ServiceUnavailable(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{body::to_bytes, http::StatusCode};
    use bulkhead_telemetry::health::probes::{Probe, Probes};

    use super::*;

    #[actix_web::test]
    async fn a_probe_of_an_extension_is_told_to_machines_alone_and_does_not_turn_readiness() {
        let probes = Probes::new(vec![Probe::new("shop", "mail", || async { Ok(()) })]).unwrap();
        let health = Health::with_probes(&probes);
        health.mark_started();
        health.set_database(true);
        let told = async |response: HttpResponse| {
            assert_eq!(response.status(), StatusCode::OK);
            String::from_utf8(to_bytes(response.into_body()).await.unwrap().to_vec()).unwrap()
        };
        let machine = r#"{"status":"ready","database":true,"redis":false,"extensions":{"mail":false}}"#;
        assert_eq!(told(tell_machine(&health)).await, machine);
        assert_eq!(told(tell_public(&health)).await, r#"{"status":"ready"}"#);
        // Without extensions nothing is said about them.
        let alone = Health::default();
        alone.mark_started();
        alone.set_database(true);
        assert_eq!(told(tell_machine(&alone)).await, r#"{"status":"ready","database":true,"redis":false}"#);
    }
}
