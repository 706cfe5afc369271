//! Requests.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use prometheus::{Histogram, HistogramVec, IntGauge, Registry, Result};

use super::family::{gauge, histograms};

/// OpenTelemetry's boundaries for HTTP, with three below them: most answers take less than 5 ms.
const SECONDS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Requests as clients see them.
pub struct Http {
    duration: HistogramVec,
    active: IntGauge,
}

impl Http {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            duration: histograms(
                registry,
                "http_server_request_duration_seconds",
                "Time from a request's head to its answer",
                &["method", "route", "status_class"],
                &SECONDS,
            )?,
            active: gauge(registry, "http_server_active_requests", "Requests being answered")?,
        })
    }

    /// Counts a request as active until the guard is dropped.
    pub fn request_started(&self) -> ActiveRequest {
        self.active.inc();
        ActiveRequest(self.active.clone())
    }

    /// The series of one route, to be kept beside it. `pattern` is the route's (`/v1/users/{id}`), never a path: the
    /// number of paths has no bound.
    pub fn route(&self, method: &'static str, pattern: &'static str) -> Route {
        Route { method, pattern, family: self.duration.clone(), classes: Arc::default() }
    }
}

/// A request that is being answered.
#[must_use = "the request counts as answered when this is dropped"]
pub struct ActiveRequest(IntGauge);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The series of one route. A status class appears when it first happens.
#[derive(Clone)]
pub struct Route {
    method: &'static str,
    pattern: &'static str,
    family: HistogramVec,
    classes: Arc<[OnceLock<Histogram>; 5]>,
}

impl Route {
    /// Records an answer.
    pub fn finished(&self, status: u16, elapsed: Duration) {
        // A number that is no status counts as a fault of the server.
        let index =
            usize::from(status / 100).checked_sub(1).filter(|index| *index < CLASSES.len()).unwrap_or(4);
        if let (Some(class), Some(slot)) = (CLASSES.get(index), self.classes.get(index)) {
            slot.get_or_init(|| self.family.with_label_values(&[self.method, self.pattern, class]))
                .observe(elapsed.as_secs_f64());
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({} {})", self.method, self.pattern)
    }
}
