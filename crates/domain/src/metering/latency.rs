//! How long requests took, in few numbers that add up.

use serde::{Deserialize, Serialize};

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
