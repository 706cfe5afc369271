//! Pauses that grow while something keeps failing: the one formula of every retry and every breaker.

use std::time::Duration;

/// The pause after the failure with this number, from 0: `first`, doubled as often, at most `longest`, and of that the upper
/// half at random, so that processes that failed together do not come back together. `random` is any random number: this
/// crate has none of its own.
pub fn pause(first: Duration, longest: Duration, failures: u32, random: u64) -> Duration {
    let half = first.saturating_mul(1 << failures.min(30)).min(longest) / 2;
    // 1,024 steps are plenty.
    half.saturating_add(half.mul_f64((random % 1_025) as f64 / 1_024.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_to_the_longest_and_the_draw_moves_them_in_the_upper_half() {
        for (failures, whole) in [(0, 100), (1, 200), (2, 400), (3, 800), (4, 1_000), (u32::MAX, 1_000)] {
            let whole = Duration::from_millis(whole);
            assert_eq!(pause(FIRST, LONGEST, failures, 0), whole / 2);
            assert_eq!(pause(FIRST, LONGEST, failures, 1_024), whole);
        }
        // The longest there is does not overflow.
        assert!(pause(Duration::MAX, Duration::MAX, u32::MAX, 1_024) > Duration::MAX / 2);
    }

    proptest! {
        #[test]
        fn no_number_makes_a_pause_panic_or_leave_its_bounds(
            first in 0_u64..100_000, longest in 0_u64..100_000, failures: u32, random: u64,
        ) {
            let (first, longest) = (Duration::from_millis(first), Duration::from_millis(longest));
            let pause = pause(first, longest, failures, random);
            prop_assert!(pause <= longest && pause >= first.min(longest) / 2);
        }
    }
}
