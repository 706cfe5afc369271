//! Remove what has outlived its use from the platform's tables, and ask the same of every tenant.

use serde::{Deserialize, Serialize};

use crate::Job;

/// Delete expired platform rows and enqueue a [`crate::PurgeExpired`] for every tenant that has a schema.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct KeepHouse {}

impl Job for KeepHouse {
    const KIND: &'static str = "keep_house";
    const MAX_ATTEMPTS: i32 = 1;
}
