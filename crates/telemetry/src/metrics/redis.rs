//! Redis.

use prometheus::{IntGauge, Registry, Result};

use super::family::{Counters, counters, gauge, label};

label! {
    /// What Redis was needed for.
    RedisUse {
        /// Admission.
        Limiter = "limiter",
        /// Usage batches.
        Usage = "usage",
        /// The job queue.
        Queue = "queue",
    }
}

/// Redis as this process sees it.
pub struct Redis {
    /// 1 when the last attempt to reach Redis succeeded, 0 when it failed or none was made.
    pub up: IntGauge,
    errors: Counters<RedisUse>,
}

impl Redis {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let up = gauge(registry, "bulkhead_redis_up", "Whether the last attempt to reach Redis succeeded")?;
        let errors = counters(registry, "bulkhead_redis_errors_total", "Failed calls to Redis", &["use"])?;
        let errors =
            Counters::new(RedisUse::ALL.iter().map(|u| (*u, errors.with_label_values(&[u.as_str()]))));
        Ok(Self { up, errors })
    }

    /// A call failed or was not answered in time.
    pub fn failed(&self, needed_for: RedisUse) {
        self.errors.inc(&needed_for);
    }
}
