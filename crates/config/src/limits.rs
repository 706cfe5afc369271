//! Admission.

use std::time::Duration;

use clap::Args;

use crate::value::{millis, number};

/// How many requests are let in, beside what each tenant's plan says.
#[derive(Clone, Debug, Args)]
pub struct Limits {
    /// Requests in flight that one tenant may have in one process; so may the operators together, and an address without a
    /// credential.
    #[arg(env = "BULKHEAD_TENANT_CONCURRENCY", default_value = "32", value_parser = number(1..=10_000_u32))]
    pub tenant_concurrency: u32,
    /// Bytes of requests and answers that one tenant may have in memory in one process, counted as often as they lie there;
    /// its further requests wait. At most half of `BULKHEAD_BYTES_IN_FLIGHT`.
    #[arg(
        env = "BULKHEAD_TENANT_BYTES_IN_FLIGHT",
        default_value = "33554432",
        value_parser = number(8_388_608..=68_719_476_736_usize)
    )]
    pub tenant_bytes_in_flight: usize,
    /// Bytes of requests and answers that all tenants together may have in memory in one process.
    #[arg(
        env = "BULKHEAD_BYTES_IN_FLIGHT",
        default_value = "134217728",
        value_parser = number(16_777_216..=137_438_953_472_usize)
    )]
    pub bytes_in_flight: usize,
    /// Longest wait for Redis to decide on a request, in milliseconds; then the process decides alone.
    #[arg(env = "BULKHEAD_LIMITER_TIMEOUT_MS", default_value = "50", value_parser = millis(1..=1000))]
    pub limiter_timeout: Duration,
}
