//! Connections to PostgreSQL.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, Result,
};

use super::family::{Counters, counters, gauges, histograms, label};

const WAIT_SECONDS: [f64; 11] = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

label! {
    /// Why a connection was dropped.
    DropReason {
        /// A transaction on it did not end cleanly.
        Dirty = "dirty",
        /// Its driver ended or an answer did not come.
        Broken = "broken",
        /// It had reached its age.
        Aged = "aged",
        /// The process stops.
        Shutdown = "shutdown",
    }
}

label! {
    /// Why PostgreSQL did not do what it was asked, where that says something about the server and not about the request.
    DbFailure {
        /// It takes no writes: a standby, or a database that was made read-only.
        ReadOnly = "read_only",
        /// A disk is full.
        DiskFull = "disk_full",
        /// Memory, or room for locks, is used up.
        OutOfMemory = "out_of_memory",
        /// Its connections are used up.
        TooManyConnections = "too_many_connections",
        /// A limit of its own is reached: temporary files, transaction ids.
        Limit = "limit",
        /// A file could not be read or written.
        Io = "io_error",
        /// A statement took longer than it may.
        StatementTimeout = "statement_timeout",
        /// A statement waited for a lock longer than it may.
        LockTimeout = "lock_timeout",
        /// No answer came.
        NoAnswer = "no_answer",
        /// It could not be reached, is starting or stopping, or has ended the connection.
        Unavailable = "unavailable",
    }
}

/// The pools of a process.
pub struct Database {
    connections: IntGaugeVec,
    opened: IntCounterVec,
    dropped: IntCounterVec,
    failures: IntCounterVec,
    wait: HistogramVec,
}

impl Database {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            connections: gauges(registry, "bulkhead_db_connections", "Connections", &["pool", "state"])?,
            opened: counters(
                registry,
                "bulkhead_db_connection_opened_total",
                "Connections opened",
                &["pool"],
            )?,
            dropped: counters(
                registry,
                "bulkhead_db_connection_dropped_total",
                "Connections dropped",
                &["pool", "reason"],
            )?,
            failures: counters(
                registry,
                "bulkhead_db_failures_total",
                "Statements and connections that PostgreSQL failed or refused",
                &["pool", "reason"],
            )?,
            wait: histograms(
                registry,
                "bulkhead_db_wait_seconds",
                "Time until a connection was had",
                &["pool"],
                &WAIT_SECONDS,
            )?,
        })
    }

    /// The series of the pools of one kind. Pools of several threads share them, so the gauges move up and down by one
    /// and are never set.
    pub fn pool(&self, name: &str) -> Pool {
        Pool {
            idle: self.connections.with_label_values(&[name, "idle"]),
            in_use: self.connections.with_label_values(&[name, "in_use"]),
            opened: self.opened.with_label_values(&[name]),
            dropped: Counters::new(
                DropReason::ALL
                    .iter()
                    .map(|reason| (*reason, self.dropped.with_label_values(&[name, reason.as_str()]))),
            ),
            failures: Counters::new(
                DbFailure::ALL
                    .iter()
                    .map(|reason| (*reason, self.failures.with_label_values(&[name, reason.as_str()]))),
            ),
            wait: self.wait.with_label_values(&[name]),
        }
    }
}

/// The series of the pools of one kind.
pub struct Pool {
    /// Connections that wait to be used.
    pub idle: IntGauge,
    /// Connections that are being used.
    pub in_use: IntGauge,
    /// Connections opened so far.
    pub opened: IntCounter,
    dropped: Counters<DropReason>,
    failures: Counters<DbFailure>,
    wait: Histogram,
}

impl Pool {
    /// A connection was dropped.
    pub fn dropped(&self, reason: DropReason) {
        self.dropped.inc(&reason);
    }

    /// PostgreSQL failed or refused something.
    pub fn failed(&self, why: DbFailure) {
        self.failures.inc(&why);
    }

    /// A transaction had to wait this long for a connection.
    pub fn waited(&self, elapsed: Duration) {
        self.wait.observe(elapsed.as_secs_f64());
    }
}
