//! Look at each active tenant's last minutes and decide about its capacity.

use serde::{Deserialize, Serialize};

use crate::Job;

/// Decide for every active tenant.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DecideScaling {}

impl Job for DecideScaling {
    const KIND: &'static str = "decide_scaling";
    const MAX_ATTEMPTS: i32 = 1;
}
