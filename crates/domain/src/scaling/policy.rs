//! When to scale: the thresholds a tenant is watched against.

use chrono::TimeDelta;

/// Thresholds, bounds and the pause between two changes. A unit of capacity is whatever the tenant's service counts
/// in (a task, a replica).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Above this many requests per minute per unit, capacity grows.
    pub high_requests_per_minute: u32,
    /// Below this many requests per minute per unit, capacity may shrink.
    pub low_requests_per_minute: u32,
    /// Above this 95th percentile of latency, in milliseconds, capacity grows.
    pub high_p95_ms: u32,
    /// Capacity shrinks only while the 95th percentile of latency, in milliseconds, is below this.
    pub low_p95_ms: u32,
    /// The least capacity.
    pub min: u32,
    /// The most capacity.
    pub max: u32,
    /// How long after a change the next one may come.
    pub cooldown: TimeDelta,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            high_requests_per_minute: 1_000,
            low_requests_per_minute: 100,
            high_p95_ms: 500,
            low_p95_ms: 100,
            min: 1,
            max: 10,
            cooldown: TimeDelta::seconds(300),
        }
    }
}
