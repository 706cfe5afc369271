//! Move usage batches from the Redis stream into the rollups.

use serde::{Deserialize, Serialize};

use crate::Job;

/// Drain the usage stream.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct AggregateUsage {}

impl Job for AggregateUsage {
    const KIND: &'static str = "aggregate_usage";
    const MAX_ATTEMPTS: i32 = 1;
}
