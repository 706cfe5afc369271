//! Meters, and the shape in which a node reports what it served.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{id::TenantId, text::TextError};

/// What is counted for billing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// Billable requests: authenticated, admitted and answered with a status below 500, save 401, 403, 429 and
    /// unknown routes. A replay of an idempotent request counts.
    ApiRequests,
    /// Wall-clock time spent on billable requests, from admission to the finished response, without the time in which a
    /// request waits: for its body, or for large requests of the same tenant.
    ComputeMs,
    /// Bytes of request bodies.
    IngressBytes,
    /// Bytes of response bodies.
    EgressBytes,
}

impl Meter {
    /// Every meter.
    pub const ALL: [Self; 4] = [Self::ApiRequests, Self::ComputeMs, Self::IngressBytes, Self::EgressBytes];

    /// The word the database and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiRequests => "api_requests",
            Self::ComputeMs => "compute_ms",
            Self::IngressBytes => "ingress_bytes",
            Self::EgressBytes => "egress_bytes",
        }
    }

    /// The unit a quantity of this meter is given in.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::ApiRequests => "request",
            Self::ComputeMs => "millisecond",
            Self::IngressBytes | Self::EgressBytes => "byte",
        }
    }
}

impl TryFrom<String> for Meter {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl FromStr for Meter {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::ALL
            .into_iter()
            .find(|meter| meter.as_str() == text)
            .ok_or(TextError::new("must be api_requests, compute_ms, ingress_bytes or egress_bytes"))
    }
}

/// Latencies counted in 24 buckets, each twice as wide as the one before: bucket `i` holds durations below
/// 64 µs · 2^i, the last everything longer (from about 4 minutes). Histograms of the same shape add up, so
/// percentiles can be had for any window and any group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LatencyHistogram {
    counts: [u64; Self::BUCKETS],
}

impl LatencyHistogram {
    /// How many buckets there are.
    pub const BUCKETS: usize = 24;

    /// The upper edge of bucket 0, in microseconds.
    const FIRST_EDGE_MICROS: u64 = 64;

    /// A histogram with the given counts, as the database keeps it; missing buckets are empty, surplus ones ignored.
    pub fn from_counts(counts: impl IntoIterator<Item = u64>) -> Self {
        let mut histogram = Self::default();
        for (slot, count) in histogram.counts.iter_mut().zip(counts) {
            *slot = count;
        }
        histogram
    }

    /// Counts one duration.
    pub fn record(&mut self, micros: u64) {
        let above_first =
            (micros / Self::FIRST_EDGE_MICROS).checked_ilog2().map_or(0, |power| power as usize + 1);
        if let Some(slot) = self.counts.get_mut(above_first.min(Self::BUCKETS - 1)) {
            *slot += 1;
        }
    }

    /// Adds another histogram's counts.
    pub fn merge(&mut self, other: &Self) {
        for (slot, count) in self.counts.iter_mut().zip(other.counts) {
            *slot = slot.saturating_add(count);
        }
    }

    /// The counts, lowest bucket first.
    pub const fn counts(&self) -> &[u64; Self::BUCKETS] {
        &self.counts
    }

    /// The upper edge, in microseconds, of the bucket in which the given share (0 to 1) of all durations is reached;
    /// `None` when nothing was counted. Never below the true percentile, and at most twice it.
    pub fn percentile(&self, share: f64) -> Option<u64> {
        let total: u64 = self.counts.iter().sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among request counts; the share is clamped to 0..=1"
        )]
        let rank = ((total as f64 * share.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        self.counts.iter().zip(0_u32..).find_map(|(count, bucket)| {
            seen += count;
            (*count > 0 && seen >= rank).then(|| Self::FIRST_EDGE_MICROS << bucket)
        })
    }
}

/// The hundreds digit of a status: 2 for 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatusClass(u8);

impl StatusClass {
    /// The class of an HTTP status code.
    pub fn of(status: u16) -> Self {
        Self(u8::try_from(status / 100).unwrap_or_default())
    }

    /// The class as the database keeps it.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What one slot of a batch counts: one tenant, one route, one class of answers, one minute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UsageKey {
    /// Whose usage it is.
    pub tenant: TenantId,
    /// The operation that answered, by its OpenAPI operation id.
    pub route: String,
    /// The class of the answers.
    pub status: StatusClass,
    /// The minute in which the requests began, in minutes since the Unix epoch: a request that began in one billing
    /// period belongs to it however late it is answered.
    pub minute: u32,
}

/// What was used under one [`UsageKey`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageDelta {
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

impl UsageDelta {
    /// Adds another delta.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.compute_micros += other.compute_micros;
        self.ingress_bytes += other.ingress_bytes;
        self.egress_bytes += other.egress_bytes;
        self.latency.merge(&other.latency);
    }
}

/// Names a batch for all time: it is applied at most once, however often it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchId {
    /// The recorder that made the batch: a process, new at every start.
    pub boot: Uuid,
    /// The batch's number at that recorder, from 1 without gaps.
    pub seq: u64,
}

/// What one recorder counted between two flushes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageBatch {
    /// The batch's name.
    pub id: BatchId,
    /// The node that runs the recorder, for people who look into the tables.
    pub node: String,
    /// What was counted; each key at most once.
    pub entries: Vec<(UsageKey, UsageDelta)>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_percentile_is_never_below_the_truth_nor_above_twice_it(
            mut micros in prop::collection::vec(64_u64..200_000_000, 1..200), share in 0.01_f64..1.0,
        ) {
            let mut histogram = LatencyHistogram::default();
            for duration in &micros {
                histogram.record(*duration);
            }
            micros.sort_unstable();
            let below = |i: &usize| (*i as f64) < micros.len() as f64 * share;
            let truth = micros[(0..micros.len()).take_while(below).count().max(1) - 1];
            let told = histogram.percentile(share).unwrap();
            prop_assert!(truth < told && told <= truth * 2, "{truth} told as {told}");
        }

        #[test]
        fn merging_counts_everything_once(a in prop::collection::vec(any::<u64>(), 0..50), b in prop::collection::vec(any::<u64>(), 0..50)) {
            let fill = |values: &[u64]| {
                let mut histogram = LatencyHistogram::default();
                for value in values {
                    histogram.record(*value);
                }
                histogram
            };
            let mut merged = fill(&a);
            merged.merge(&fill(&b));
            prop_assert_eq!(merged, fill(&[a, b].concat()));
        }
    }

    #[test]
    fn the_edges_fall_where_the_document_says() {
        let bucket = |micros| {
            let mut histogram = LatencyHistogram::default();
            histogram.record(micros);
            histogram.counts().iter().position(|c| *c == 1).unwrap()
        };
        assert_eq!([bucket(0), bucket(63), bucket(64), bucket(127), bucket(128)], [0, 0, 1, 1, 2]);
        assert_eq!(bucket(u64::MAX), 23);
        assert_eq!(LatencyHistogram::default().percentile(0.95), None);
    }
}
