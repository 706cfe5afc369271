//! Whether this node should be sent requests.

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// The node's state, kept by the background tasks and read by the probes.
#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    draining: AtomicBool,
    database: AtomicBool,
    redis: AtomicBool,
}

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

impl Health {
    /// Says that the node has everything it needs to begin.
    pub fn mark_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Says that the node is about to stop.
    pub fn mark_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Says whether PostgreSQL answers.
    pub fn set_database(&self, up: bool) {
        self.database.store(up, Ordering::Relaxed);
    }

    /// Says whether Redis answers.
    pub fn set_redis(&self, up: bool) {
        self.redis.store(up, Ordering::Relaxed);
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let flag = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let (database, redis) = (flag(&self.database), flag(&self.redis));
        let status = if flag(&self.draining) {
            "draining"
        } else if !flag(&self.started) {
            "starting"
        } else if !database {
            "degraded"
        } else {
            "ready"
        };
        Readiness { status, database, redis }
    }

    pub(crate) fn respond(&self) -> HttpResponse {
        let readiness = self.readiness();
        if readiness.status == "ready" {
            HttpResponse::Ok().json(readiness)
        } else {
            HttpResponse::ServiceUnavailable().json(readiness)
        }
    }
}
