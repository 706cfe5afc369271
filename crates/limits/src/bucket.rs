//! The arithmetic of a token bucket, in whole numbers.
//!
//! A bucket is a level and the moment when it had that level. The level is counted in 60,000ths of a token, because then
//! a bucket that gains `R` tokens a minute gains exactly `R` such units a millisecond: refilling is one multiplication,
//! nothing is ever rounded away, and no request pattern makes the bucket run fast or slow. (GCRA stores one number, the
//! time at which the bucket is full again; its interval of 60,000/R ms is not whole for most R, and the stored time means
//! something else after R has changed. A level means the same under every limit.) The largest level, 2^32 tokens, is
//! below 2^53, so the numbers of Lua hold every level exactly, and `bucket.lua` does the same arithmetic.

use bulkhead_domain::Limit;

/// Units in a token.
const TOKEN: u64 = 60_000;

/// A level, and when it was that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    level: u64,
    /// Milliseconds since the epoch.
    at: i64,
}

/// What a bucket says about a demand. Times are in milliseconds, rounded up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// Whether it holds enough tokens.
    pub enough: bool,
    /// Whole tokens it holds.
    pub remaining: u32,
    /// Until it holds enough; 0 when it does. For a demand beyond the burst this is never enough.
    pub wait: u64,
    /// Until it is full.
    pub full_in: u64,
    /// Tokens taken ahead, besides those demanded.
    pub extra: u32,
    /// Until when the server counts these as lent, by its own clock, in milliseconds since the epoch.
    pub counted_until: u64,
    /// The account in which it counts them; another limit opens another one.
    pub account: u64,
}

impl Bucket {
    /// A full bucket.
    pub fn full(limit: Limit, now: i64) -> Self {
        Self { level: capacity(limit), at: now }
    }

    /// The bucket as it is now under `limit`, which was in force since `self` was looked at; under a smaller burst it keeps
    /// no more than that. A clock that has gone back adds nothing.
    #[must_use]
    pub fn at(self, limit: Limit, now: i64) -> Self {
        let elapsed = u64::try_from(now.saturating_sub(self.at)).unwrap_or_default();
        let gained = elapsed.saturating_mul(u64::from(limit.per_minute.max(1)));
        Self { level: self.level.saturating_add(gained).min(capacity(limit)), at: now }
    }

    /// What this bucket, brought to the present by [`Self::at`], says about a demand of `cost` tokens.
    pub fn assess(self, limit: Limit, cost: u32) -> Assessment {
        let rate = u64::from(limit.per_minute.max(1));
        let needed = u64::from(cost) * TOKEN;
        Assessment {
            enough: self.level >= needed,
            remaining: u32::try_from(self.level / TOKEN).unwrap_or(u32::MAX),
            wait: needed.saturating_sub(self.level).div_ceil(rate),
            full_in: capacity(limit).saturating_sub(self.level).div_ceil(rate),
            ..Assessment::default()
        }
    }

    /// The bucket after `cost` tokens have been taken from it.
    #[must_use]
    pub fn take(self, cost: u32) -> Self {
        Self { level: self.level.saturating_sub(u64::from(cost) * TOKEN), ..self }
    }

    /// The bucket with at most `tokens` in it.
    #[must_use]
    pub fn capped(self, tokens: u32) -> Self {
        Self { level: self.level.min(u64::from(tokens) * TOKEN), ..self }
    }

    /// How empty it is, in parts of 65,536 of its burst.
    pub(crate) fn emptiness(self, limit: Limit) -> u64 {
        let capacity = capacity(limit);
        (capacity.saturating_sub(self.level) << 16) / capacity
    }
}

/// The level of a full bucket. A burst of 0 counts as 1: no limit can lock a tenant out for good.
fn capacity(limit: Limit) -> u64 {
    u64::from(limit.burst.max(1)) * TOKEN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> impl Strategy<Value = Limit> {
        prop_oneof![(1..50_u32, 1..50_u32), (1..=u32::MAX, 1..=u32::MAX)]
            .prop_map(|(per_minute, burst)| Limit { per_minute, burst })
    }

    /// Steps of a caller: milliseconds to wait, tokens to ask for.
    fn steps() -> impl Strategy<Value = Vec<(i64, u32)>> {
        prop::collection::vec(
            (prop_oneof![0..20_i64, 0..100_000_i64], prop_oneof![0..5_u32, 0..1000_u32]),
            0..200,
        )
    }

    proptest! {
        #[test]
        fn it_admits_exactly_what_a_fluid_bucket_would(limit in limits(), steps in steps()) {
            // The oracle is kept in 60,000ths too, but by the definition: what has flowed in, less what spilled over and
            // what was taken.
            let full = i128::from(limit.burst) * 60_000;
            let mut oracle = full;
            let (mut now, mut bucket) = (0, Bucket::full(limit, 0));
            let mut taken = 0_i128;
            for (wait, cost) in steps {
                now += wait;
                oracle = (oracle + i128::from(wait) * i128::from(limit.per_minute)).min(full);
                bucket = bucket.at(limit, now);
                let said = bucket.assess(limit, cost);
                let needed = i128::from(cost) * 60_000;
                prop_assert_eq!(said.enough, oracle >= needed);
                prop_assert_eq!(i128::from(said.remaining), oracle / 60_000);
                if said.enough {
                    bucket = bucket.take(cost);
                    oracle -= needed;
                    taken += needed;
                    prop_assert_eq!(said.wait, 0);
                } else {
                    // At the time it names there is enough, and not a millisecond earlier, unless the burst forbids.
                    let at = |ms: i64| bucket.at(limit, now + ms).assess(limit, cost).enough;
                    let wait = i64::try_from(said.wait).unwrap();
                    prop_assert_eq!(at(wait), cost <= limit.burst);
                    prop_assert!(!at(wait - 1));
                }
                prop_assert!(taken <= full + i128::from(now) * i128::from(limit.per_minute));
            }
            let left = bucket.assess(limit, 0);
            let full_at = |ms: i64| bucket.at(limit, now + ms) == Bucket::full(limit, now + ms);
            prop_assert!(full_at(i64::try_from(left.full_in).unwrap()));
            prop_assert!(left.full_in == 0 || !full_at(i64::try_from(left.full_in).unwrap() - 1));
        }

        #[test]
        fn a_changed_limit_adds_nothing_and_cuts_to_the_new_burst(old in limits(), new in limits(), cost in 0..1000_u32) {
            let bucket = Bucket::full(old, 0).take(cost);
            let before = bucket.assess(old, 0).remaining;
            let after = bucket.at(new, 0).assess(new, 0).remaining;
            prop_assert_eq!(after, before.min(new.burst));
        }

        #[test]
        fn a_clock_that_goes_back_adds_nothing(limit in limits(), back in 0..i64::MAX, cost in 0..1000_u32) {
            let bucket = Bucket::full(limit, 0).take(cost);
            prop_assert_eq!(bucket.at(limit, -back).assess(limit, 1), bucket.assess(limit, 1));
        }

        #[test]
        fn emptiness_orders_buckets_of_one_limit(limit in limits(), a in 0..1000_u32, b in 0..1000_u32) {
            let empty = |cost| Bucket::full(limit, 0).take(cost).emptiness(limit);
            prop_assert!(a > b || empty(a) <= empty(b));
            prop_assert_eq!(empty(0), 0);
        }
    }

    #[test]
    fn a_limit_of_zero_is_one() {
        let zero = Limit { per_minute: 0, burst: 0 };
        let bucket = Bucket::full(zero, 0);
        assert!(bucket.assess(zero, 1).enough);
        assert_eq!(bucket.take(1).assess(zero, 1).wait, 60_000);
    }
}
