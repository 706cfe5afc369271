//! Usage on its way to PostgreSQL.

use prometheus::{IntCounter, IntGauge, Registry, Result};

use super::family::{Counters, counter, counters, gauge, label};

label! {
    /// How a batch left the process.
    UsagePath {
        /// Through the Redis stream.
        Stream = "stream",
        /// Straight to PostgreSQL.
        Direct = "direct",
        /// Through the Redis stream once more, because PostgreSQL had not confirmed it.
        Resent = "resent",
    }
}

/// Usage that is not yet known to be in PostgreSQL.
pub struct Usage {
    /// Batches sent and not yet confirmed by PostgreSQL.
    pub in_flight: IntGauge,
    /// Bytes of usage held until PostgreSQL confirms.
    pub buffer_bytes: IntGauge,
    /// Requests answered although neither Redis nor PostgreSQL took their usage: lost if this process dies now.
    pub unsafe_answers: IntCounter,
    /// Requests answered before their usage was stored, because PostgreSQL is slow and Redis is away: lost if this process
    /// dies before it is.
    pub late_answers: IntCounter,
    /// Batches in the Redis stream, as this process last saw it.
    pub stream_length: IntGauge,
    /// What tenants' transactions have counted and is not in the rollups yet, as the worker last saw it.
    pub counts_waiting: IntGauge,
    /// Entries set aside because they could not be read, or were not ours: an operator has to look at them.
    pub rejected: IntCounter,
    batches: Counters<UsagePath>,
}

impl Usage {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let batches = counters(registry, "bulkhead_usage_batches_total", "Usage batches sent", &["path"])?;
        let paths = UsagePath::ALL.iter().map(|path| (*path, batches.with_label_values(&[path.as_str()])));
        Ok(Self {
            in_flight: gauge(
                registry,
                "bulkhead_usage_batches_in_flight",
                "Usage batches sent and not confirmed by PostgreSQL",
            )?,
            buffer_bytes: gauge(
                registry,
                "bulkhead_usage_buffer_bytes",
                "Usage held until PostgreSQL confirms it",
            )?,
            unsafe_answers: counter(
                registry,
                "bulkhead_usage_unsafe_answers_total",
                "Requests answered while their usage was held by this process alone",
            )?,
            late_answers: counter(
                registry,
                "bulkhead_usage_late_answers_total",
                "Requests answered before their usage was stored, because that took too long",
            )?,
            stream_length: gauge(
                registry,
                "bulkhead_usage_stream_length",
                "Usage batches that wait in the Redis stream",
            )?,
            counts_waiting: gauge(
                registry,
                "bulkhead_usage_counts_waiting",
                "Counts of tenants' transactions that are not in the rollups yet",
            )?,
            rejected: counter(
                registry,
                "bulkhead_usage_rejected_total",
                "Usage entries set aside as unreadable or not ours",
            )?,
            batches: Counters::new(paths),
        })
    }

    /// A batch was sent.
    pub fn sent(&self, path: UsagePath) {
        self.batches.inc(&path);
    }
}
