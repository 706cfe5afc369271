//! The capacity of tenants.

use serde::{Deserialize, Serialize};

use crate::Job;

/// Look at each active tenant's last minutes and decide about its capacity.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DecideScaling {}

impl Job for DecideScaling {
    const KIND: &'static str = "decide_scaling";
    const MAX_ATTEMPTS: i32 = 1;
}
