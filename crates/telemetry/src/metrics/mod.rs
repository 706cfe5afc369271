//! Every metric family of a process, in a registry of its own.
//!
//! Names follow the conventions of Prometheus and, for HTTP, of OpenTelemetry. Series that a request touches are looked
//! up once and kept, so that counting does not hash labels.

mod auth;
mod database;
mod family;
mod http;
mod identity;
mod jobs;
mod limiter;
pub mod own;
mod redis;
mod usage;

use std::{fmt, ops::Deref, sync::Arc};

pub use prometheus::{Histogram, IntCounter, IntGauge};
use prometheus::{Registry, TextEncoder};

pub use auth::{Auth, AuthOutcome, Credential};
pub use database::{Database, DbFailure, DropReason, Pool};
pub use http::{ActiveRequest, Http, Route};
pub use identity::{AccountOutcome, Identity};
pub use jobs::{JobOutcome, Jobs};
pub use limiter::{LimitKind, LimitSource, Limiter};
pub use own::{Own, OwnError};
pub use redis::{Redis, RedisUse};
pub use usage::{Usage, UsagePath};

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Why the families of a process cannot be registered; found when it starts.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// Two families have the same name, which is a fault in this crate.
    #[error("cannot register a metric family")]
    Family(#[from] prometheus::Error),
    /// The application's metrics do not go together.
    #[error(transparent)]
    Own(#[from] OwnError),
}

/// All metric families of a process. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

/// The families by subject.
pub struct Families {
    registry: Registry,
    /// Requests.
    pub http: Http,
    /// Connections to PostgreSQL.
    pub database: Database,
    /// Redis.
    pub redis: Redis,
    /// Admission.
    pub limiter: Limiter,
    /// Usage on its way to PostgreSQL.
    pub usage: Usage,
    /// Background jobs.
    pub jobs: Jobs,
    /// Credentials.
    pub auth: Auth,
    /// Issuers of others.
    pub identity: Identity,
}

impl Metrics {
    /// The metrics of a process whose application declares none.
    pub fn new() -> Result<Self, MetricsError> {
        Self::with(&[])
    }

    /// Registers every family, those about the process itself (CPU time, memory, files, threads), and the application's own.
    pub fn with(own: &[Own]) -> Result<Self, MetricsError> {
        own::judge(own)?;
        let registry = Registry::new();
        for metric in own.iter().flat_map(Own::metrics) {
            metric.register(&registry)?;
        }
        let families = Families {
            http: Http::register(&registry)?,
            database: Database::register(&registry)?,
            redis: Redis::register(&registry)?,
            limiter: Limiter::register(&registry)?,
            usage: Usage::register(&registry)?,
            jobs: Jobs::register(&registry)?,
            auth: Auth::register(&registry)?,
            identity: Identity::register(&registry)?,
            registry,
        };
        let build = family::gauges(
            &families.registry,
            "bulkhead_build_info",
            "Always 1; its label is the version that runs",
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        families.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Self(Arc::new(families)))
    }

    /// All series as Prometheus reads them.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(error = &error as &(dyn std::error::Error + 'static), "cannot write metrics");
            String::new()
        })
    }
}

impl Deref for Metrics {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.0
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests;
