//! What requests use by themselves, whatever their operation does.

use crate::metering::{LatencyHistogram, MeterName, requests};

/// What requests used: those under one [`UsageKey`](crate::metering::UsageKey), or one alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestStats {
    /// Billable requests.
    pub requests: u64,
    /// Time spent, in microseconds; billed as milliseconds with three decimals.
    pub compute_micros: u64,
    /// Bytes of request bodies.
    pub ingress_bytes: u64,
    /// Bytes of response bodies.
    pub egress_bytes: u64,
    /// The latencies of these requests.
    pub latency: LatencyHistogram,
}

impl RequestStats {
    /// Adds what other requests used.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.compute_micros += other.compute_micros;
        self.ingress_bytes += other.ingress_bytes;
        self.egress_bytes += other.egress_bytes;
        self.latency.merge(&other.latency);
    }

    /// How much of each meter that counts requests, in thousandths of its unit.
    pub fn by_meter(&self) -> [(MeterName, u128); 4] {
        [
            (requests::API_REQUESTS, u128::from(self.requests) * 1_000),
            (requests::COMPUTE_MS, u128::from(self.compute_micros)),
            (requests::INGRESS_BYTES, u128::from(self.ingress_bytes) * 1_000),
            (requests::EGRESS_BYTES, u128::from(self.egress_bytes) * 1_000),
        ]
    }
}
