//! Comparing two things on a machine that is never quiet.
//!
//! Both are measured in turns, in the order A B B A, so that what drifts hits both alike. Each pair gives a ratio; the
//! first is dropped, for caches are cold; what is reported is the median of the rest, with a 90 % interval from resampling
//! them. Refuses to give a verdict when the limit itself, measured again and again, differs by more than a quarter.

use anyhow::Result;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// How far the limit's own slices may be apart: their interquartile range by their median.
const NOISE: f64 = 0.25;
/// Resamplings for the interval.
const RESAMPLES: usize = 2_000;

/// A ratio and what is known about it.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    /// The median of the pairs' ratios, ours by the limit.
    pub(crate) ratio: f64,
    /// The 5th and the 95th percentile of resampled medians.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Medians of the slices themselves.
    pub(crate) ours: f64,
    pub(crate) limit: f64,
    /// Interquartile range of the limit's slices by their median.
    pub(crate) noise: f64,
}

impl Compared {
    /// Whether the machine was quiet enough for a verdict.
    pub(crate) fn is_quiet(&self) -> bool {
        self.noise <= NOISE
    }
}

/// Measures `ours` and `limit` in `pairs` pairs of slices.
pub(crate) async fn compare(
    pairs: usize,
    mut ours: impl AsyncFnMut() -> Result<f64>,
    mut limit: impl AsyncFnMut() -> Result<f64>,
) -> Result<Compared> {
    let mut measured = Vec::new();
    for pair in 0..=pairs {
        let one = if pair % 2 == 0 {
            let ours = ours().await?;
            (ours, limit().await?)
        } else {
            let limit = limit().await?;
            (ours().await?, limit)
        };
        measured.push(one);
    }
    measured.remove(0);
    Ok(judge(&measured))
}

fn judge(measured: &[(f64, f64)]) -> Compared {
    let ratios: Vec<f64> = measured.iter().map(|(ours, limit)| ours / limit).collect();
    let (low, high) = interval(&ratios);
    let limits: Vec<f64> = measured.iter().map(|(_, limit)| *limit).collect();
    let median_limit = quantile(&limits, 0.5);
    Compared {
        ratio: quantile(&ratios, 0.5),
        low,
        high,
        ours: quantile(&measured.iter().map(|(ours, _)| *ours).collect::<Vec<_>>(), 0.5),
        limit: median_limit,
        noise: (quantile(&limits, 0.75) - quantile(&limits, 0.25)) / median_limit,
    }
}

/// The value below which the given part of the samples lies, interpolated.
pub(crate) fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = part * last as f64;
    let at = |index: f64| sorted.iter().copied().nth(whole(index)).unwrap_or(f64::NAN);
    let (below, above) = (at(place.floor()), at(place.ceil()));
    below + (above - below) * place.fract()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into a few samples")]
fn whole(index: f64) -> usize {
    index as usize
}

/// The middle 90 % of the medians of resampled samples.
fn interval(samples: &[f64]) -> (f64, f64) {
    // The same samples give the same interval.
    let mut random = StdRng::seed_from_u64(1);
    let medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let again: Vec<f64> = samples
                .iter()
                .filter_map(|_| samples.get(random.random_range(0..samples.len())).copied())
                .collect();
            quantile(&again, 0.5)
        })
        .collect();
    (quantile(&medians, 0.05), quantile(&medians, 0.95))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_pairs_and_the_interval_is_around_it() {
        let pairs: Vec<(f64, f64)> = (1..=9).map(|n| (f64::from(n), 10.0)).collect();
        let compared = judge(&pairs);
        assert!((compared.ratio - 0.5).abs() < 1e-9);
        assert!(compared.low < 0.5 && 0.5 < compared.high && compared.low >= 0.1 && compared.high <= 0.9);
        assert!(compared.is_quiet());
        let noisy: Vec<(f64, f64)> = (1..=9).map(|n| (1.0, f64::from(n))).collect();
        assert!(!judge(&noisy).is_quiet());
    }

    #[test]
    fn quantiles_are_interpolated() {
        let samples = [4.0, 1.0, 3.0, 2.0];
        assert!((quantile(&samples, 0.5) - 2.5).abs() < 1e-9);
        assert!((quantile(&samples, 0.0) - 1.0).abs() < 1e-9);
        assert!((quantile(&samples, 1.0) - 4.0).abs() < 1e-9);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
