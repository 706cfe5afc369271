//! Admission.

use std::time::Duration;

use clap::Args;

use crate::value::{millis, number};

/// How many requests are let in, beside what each tenant's plan says.
#[derive(Clone, Debug, Args)]
pub struct Limits {
    /// Requests in flight that one tenant may have in one process.
    #[arg(env = "BULKHEAD_TENANT_CONCURRENCY", default_value = "32", value_parser = number(1..=10_000_u32))]
    pub tenant_concurrency: u32,
    /// Longest wait for Redis to decide on a request, in milliseconds; then the process decides alone.
    #[arg(env = "BULKHEAD_LIMITER_TIMEOUT_MS", default_value = "50", value_parser = millis(1..=1000))]
    pub limiter_timeout: Duration,
}
