//! Background jobs.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, Result};

use super::family::{counter, counters, gauge, histograms, label};

const SECONDS: [f64; 12] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

label! {
    /// How a run of a job ended.
    JobOutcome {
        /// Done.
        Succeeded = "succeeded",
        /// Failed and will run again.
        Retried = "retried",
        /// Could not begin with this program, and was left to another.
        Postponed = "postponed",
        /// Failed for good.
        Failed = "failed",
    }
}

/// Background jobs. They are few beside requests, so their series are looked up when needed.
pub struct Jobs {
    /// Jobs handed to the queue and not finished.
    pub outstanding: IntGauge,
    /// Jobs that are due and that no worker has begun, whether handed to the queue or not; of those that are not, up to
    /// 100,000 are counted.
    pub due: IntGauge,
    /// For how many seconds the job that has waited longest has been due.
    pub oldest_due_seconds: IntGauge,
    /// Ids in the queue that were not ours: another process writes to Redis, or nodes have different master keys.
    pub forged: IntCounter,
    runs: IntCounterVec,
    duration: HistogramVec,
}

impl Jobs {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        Ok(Self {
            outstanding: gauge(
                registry,
                "bulkhead_jobs_outstanding",
                "Jobs handed to the queue and not finished",
            )?,
            due: gauge(registry, "bulkhead_jobs_due", "Jobs that are due and not begun")?,
            oldest_due_seconds: gauge(
                registry,
                "bulkhead_jobs_oldest_due_seconds",
                "Seconds for which the job that has waited longest has been due",
            )?,
            forged: counter(
                registry,
                "bulkhead_jobs_forged_total",
                "Ids in the queue without the right tag",
            )?,
            runs: counters(registry, "bulkhead_jobs_total", "Runs of jobs", &["kind", "outcome"])?,
            duration: histograms(
                registry,
                "bulkhead_job_duration_seconds",
                "Time that a run of a job took",
                &["kind"],
                &SECONDS,
            )?,
        })
    }

    /// Jobs of this kind may run. Their counters are there from then on, at 0. A counter that appeared with the first
    /// failure would hide that failure from an alert, which watches how the counter grows.
    pub fn expect(&self, kind: &'static str) {
        for outcome in JobOutcome::ALL {
            self.runs.with_label_values(&[kind, outcome.as_str()]);
        }
    }

    /// A run ended. `kind` is the job's registered name.
    pub fn finished(&self, kind: &'static str, outcome: JobOutcome, elapsed: Duration) {
        self.runs.with_label_values(&[kind, outcome.as_str()]).inc();
        self.duration.with_label_values(&[kind]).observe(elapsed.as_secs_f64());
    }

    /// A job failed for good because its last run was lost with its worker. The duration of that run is not known, so
    /// none is recorded.
    pub fn given_up(&self, kind: &str) {
        self.runs.with_label_values(&[kind, JobOutcome::Failed.as_str()]).inc();
    }
}
