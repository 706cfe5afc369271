//! Local buckets, alone.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::decision::{Prefetch, TENANT};

const LIMIT: Limit = Limit { per_minute: 60, burst: 10 };
fn want(cost: u32) -> Demand {
    Demand { bucket: TENANT, limit: LIMIT, cost, prefetch: Prefetch::default() }
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_000).unwrap()
}

fn later(ms: i64) -> DateTime<Utc> {
    start() + TimeDelta::milliseconds(ms)
}

#[test]
fn a_bucket_admits_its_burst_and_then_its_rate() {
    let buckets = LocalBuckets::new(100);
    let take = |now| buckets.take(1_u32, [want(1)], now)[0];
    assert_eq!((0..20).filter(|_| take(start()).allowed).count(), 10);
    let refused = take(start());
    assert_eq!((refused.allowed, refused.remaining, refused.retry_after.as_millis()), (false, 0, 1000));
    assert_eq!(refused.reset_after.as_secs(), 10);
    assert!(!take(later(999)).allowed && take(later(1000)).allowed && !take(later(1001)).allowed);
}

#[test]
fn a_bucket_has_filled_at_the_old_rate_until_its_limit_is_changed() {
    let buckets = LocalBuckets::new(100);
    let fast = Demand { limit: Limit { per_minute: 6_000, burst: 100 }, ..want(1) };
    assert!(buckets.take(1_u32, [want(10)], start())[0].allowed);
    // A second at one a second, not at a hundred; and from then on at a hundred.
    let changed = buckets.take(1_u32, [fast], later(1000))[0];
    assert_eq!((changed.allowed, changed.remaining), (true, 0));
    assert!(!buckets.take(1_u32, [fast], later(1009))[0].allowed);
    assert!(buckets.take(1_u32, [fast], later(1010))[0].allowed);
}

#[test]
fn owners_and_names_are_apart() {
    let buckets = LocalBuckets::new(100);
    let all = Demand { cost: 10, ..want(0) };
    let writes = Demand { bucket: "writes", ..all };
    for owner in [1_u32, 2] {
        assert!(buckets.take(owner, [all], start())[0].allowed);
        assert!(buckets.take(owner, [writes], start())[0].allowed);
        assert!(!buckets.take(owner, [want(1)], start())[0].allowed);
    }
}

#[test]
fn a_demand_takes_from_all_buckets_or_from_none() {
    let buckets = LocalBuckets::new(100);
    let narrow = Demand {
        bucket: "writes",
        limit: Limit { per_minute: 1, burst: 1 },
        cost: 1,
        prefetch: Prefetch::default(),
    };
    let both = || buckets.take(1_u32, [want(1), narrow], start());
    assert_eq!(both().map(|decision| (decision.allowed, decision.remaining)), [(true, 9), (true, 0)]);
    for _ in 0..3 {
        assert_eq!(both().map(|decision| (decision.allowed, decision.remaining)), [(true, 9), (false, 0)]);
    }
}

#[test]
fn looking_takes_nothing() {
    let buckets = LocalBuckets::new(100);
    for _ in 0..100 {
        assert_eq!(buckets.take(1_u32, [want(0)], start())[0].remaining, 10);
    }
}

#[test]
fn memory_is_bounded_and_the_emptiest_buckets_are_remembered() {
    let buckets = LocalBuckets::new(6400);
    for owner in 0..50_u32 {
        assert!(buckets.take(owner, [want(10)], start())[0].allowed);
    }
    for owner in 50..200_000_u32 {
        assert!(buckets.take(owner, [want(1)], start())[0].allowed);
    }
    assert!((5000..=6400).contains(&buckets.len()), "{}", buckets.len());
    for owner in 0..50_u32 {
        assert!(
            !buckets.take(owner, [want(1)], start())[0].allowed,
            "the drained bucket of {owner} was forgotten"
        );
    }
}

#[test]
fn full_buckets_make_room_for_all_others() {
    let buckets = LocalBuckets::new(6400);
    for owner in 0..5000_u32 {
        buckets.take(owner, [want(1)], start());
    }
    // By now those are full again; the next ones are not, and there is room for all of them, however owners fall into shards.
    for owner in 5000..7500_u32 {
        buckets.take(owner, [want(10)], later(60_000));
    }
    let drained = (5000..7500_u32).filter(|owner| !buckets.take(*owner, [want(1)], later(60_000))[0].allowed);
    assert_eq!(drained.count(), 2500);
}

#[test]
fn threads_together_get_no_more_than_one_would() {
    let buckets = LocalBuckets::new(100);
    let limit = Limit { per_minute: 1, burst: 1000 };
    let admitted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    if buckets.take(1_u32, [Demand { limit, ..want(1) }], start())[0].allowed {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 1000);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(i64),
    Take(u32),
    Cap(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..5000_i64).prop_map(Step::Wait),
        (0..4_u32).prop_map(Step::Take),
        (0..15_u32).prop_map(Step::Cap),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// However often Redis comes (a cap) and goes (takes), local decisions alone stay within the share.
    #[test]
    fn caps_never_add_tokens(steps in steps()) {
        let buckets = LocalBuckets::new(100);
        let (mut ms, mut granted) = (0, 0);
        let mut cap_in_force = LIMIT.burst;
        for step in steps {
            match step {
                Step::Wait(wait) => {
                    ms += wait;
                    cap_in_force = LIMIT.burst;
                }
                Step::Cap(tokens) => {
                    buckets.cap(1_u32, want(0), tokens, later(ms));
                    cap_in_force = cap_in_force.min(tokens);
                }
                Step::Take(cost) => {
                    let decision = buckets.take(1_u32, [want(cost)], later(ms))[0];
                    granted += if decision.allowed { i64::from(cost) } else { 0 };
                    prop_assert!(decision.remaining <= cap_in_force);
                }
            }
            prop_assert!(granted * 60_000 <= i64::from(LIMIT.burst) * 60_000 + ms * i64::from(LIMIT.per_minute));
        }
    }
}
