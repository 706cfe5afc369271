//! Usage on its way into the rollups: batches from the Redis stream, and what tenants' transactions have counted.

use serde::{Deserialize, Serialize};

use crate::Job;

/// Drain the usage stream and the counts of tenants' transactions: move them into the rollups.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct AggregateUsage {}

impl Job for AggregateUsage {
    const KIND: &'static str = "aggregate_usage";
    const MAX_ATTEMPTS: i32 = 1;
}
