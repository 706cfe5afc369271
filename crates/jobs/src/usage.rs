//! Usage on its way into the rollups.

use serde::{Deserialize, Serialize};

use crate::Job;

/// Drain the usage stream: move its batches into the rollups.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct AggregateUsage {}

impl Job for AggregateUsage {
    const KIND: &'static str = "aggregate_usage";
    const MAX_ATTEMPTS: i32 = 1;
}
