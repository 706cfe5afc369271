//! Find the tenants that wait for a job which nobody will run.

use serde::{Deserialize, Serialize};

use crate::Job;

/// Ask again for the building of tenants whose job has given up, and for the purge of those whose time is over.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct SweepTenants {}

impl Job for SweepTenants {
    const KIND: &'static str = "sweep_tenants";
    const MAX_ATTEMPTS: i32 = 1;
}
