//! What Redis has said, used for as long as it is certain to hold.
//!
//! Asking for every request costs a round trip that is most of the work of admission. Two things need not be asked:
//!
//! - **Tokens taken ahead.** With a request's own token a node may take a few more, which are gone from the bucket at once
//!   and are spent here. They are void as soon as the bucket could be full without them: a full bucket gains nothing, so
//!   tokens that are kept beyond it would be tokens too many.
//! - **A refusal.** Redis has said when there will be a token; until then there is none, whoever asks.
//!
//! Neither admits a request that the bucket itself would not have. Tokens ahead are at most a hundredth of the burst, over
//! all nodes, and at most a sixteenth of what is left (`bucket.lua`), so that a bucket that runs dry is shared to the last.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    time::{Duration, Instant},
};

use bulkhead_domain::{Limit, TenantId};
use parking_lot::Mutex;

use crate::{
    bucket::Assessment,
    decision::{Decision, Demand, Source},
};

/// Few threads wait for each other with so many locks.
const SHARDS: usize = 64;
/// Tenants remembered in each; when there are more, those that no longer hold anything are forgotten, or all.
const SHARD_CAPACITY: usize = 2_048;
/// The part of a burst that all nodes together may take ahead.
const PART: u32 = 100;
/// Tokens taken ahead at most; more would save no more round trips.
const MOST: u32 = 200;
/// Fewer are not worth it.
const FEWEST: u32 = 4;

/// How many tokens one of `nodes` nodes takes ahead.
pub(crate) fn ahead(limit: Limit, nodes: u32) -> u32 {
    let most = (limit.burst / PART / nodes.max(1)).min(MOST);
    if most < FEWEST { 0 } else { most }
}

#[derive(Clone, Copy)]
struct Held {
    limit: Limit,
    /// Tokens taken ahead.
    tokens: u32,
    /// What was left in the bucket besides.
    remaining: u32,
    /// When the bucket is full again, and the tokens are void.
    full_at: Instant,
    /// Until when there is no token.
    empty_until: Option<Instant>,
}

/// What this process holds of the tenants' buckets.
pub(crate) struct Leases {
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<TenantId, Held>>>,
}

impl Leases {
    pub(crate) fn new() -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { hasher: RandomState::new(), shards }
    }

    /// The decision, where nobody has to be asked.
    pub(crate) fn decide(&self, tenant: TenantId, demand: Demand, now: Instant) -> Option<Decision> {
        let mut shard = self.shard(tenant)?.lock();
        let held = shard.get_mut(&tenant).filter(|held| held.limit == demand.limit)?;
        let full_in = millis(held.full_at.saturating_duration_since(now));
        if now < held.full_at && held.tokens >= demand.cost.max(1) {
            held.tokens -= demand.cost;
            let remaining = held.remaining.saturating_add(held.tokens);
            let said = Assessment { enough: true, remaining, wait: 0, full_in, extra: 0 };
            return Some(Decision::new(demand, said, Source::Lease));
        }
        let until = held.empty_until.filter(|until| *until > now && demand.cost > 0)?;
        let said =
            Assessment { enough: false, remaining: 0, wait: millis(until - now).max(1), full_in, extra: 0 };
        Some(Decision::new(demand, said, Source::Lease))
    }

    /// Takes in what Redis has `said` to a demand that was sent at `asked` and answered `now`. Its times count from `asked`:
    /// Redis has looked at the bucket a moment later, so what is derived from them ends a moment too early. Tokens from
    /// before are kept only if they are good even `now`, for the bucket may have been full before Redis looked.
    pub(crate) fn note(
        &self,
        tenant: TenantId,
        demand: Demand,
        said: Assessment,
        asked: Instant,
        now: Instant,
    ) {
        let nothing = said.enough && said.extra == 0;
        let Some(shard) = self.shard(tenant) else { return };
        let mut shard = shard.lock();
        if nothing && !shard.contains_key(&tenant) {
            return;
        }
        if shard.len() >= SHARD_CAPACITY && !shard.contains_key(&tenant) {
            shard.retain(|_, held| held.full_at > now);
            if shard.len() >= SHARD_CAPACITY {
                shard.clear();
            }
        }
        let full_at = asked + Duration::from_millis(said.full_in);
        let kept = shard.get(&tenant).filter(|held| held.limit == demand.limit && held.full_at > now);
        let tokens = kept.map_or(0, |held| held.tokens).saturating_add(said.extra);
        // A demand beyond the burst says nothing about smaller ones.
        let is_refusal = !said.enough && demand.cost == 1;
        let empty_until = is_refusal.then(|| asked + Duration::from_millis(said.wait));
        shard.insert(
            tenant,
            Held { limit: demand.limit, tokens, remaining: said.remaining, full_at, empty_until },
        );
    }

    fn shard(&self, tenant: TenantId) -> Option<&Mutex<HashMap<TenantId, Held>>> {
        let hash = self.hasher.hash_one(tenant);
        self.shards.get(usize::try_from(hash % (SHARDS as u64)).unwrap_or_default())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::decision::TENANT;

    const LIMIT: Limit = Limit { per_minute: 6_000, burst: 1_000 };

    fn demand(cost: u32) -> Demand {
        Demand { bucket: TENANT, limit: LIMIT, cost, ahead: 0 }
    }

    fn tenant() -> TenantId {
        TenantId::from_uuid(Uuid::nil())
    }

    fn said(extra: u32, full_in: u64) -> Assessment {
        Assessment { enough: true, remaining: 500, wait: 0, full_in, extra }
    }

    #[test]
    fn tokens_ahead_are_a_hundredth_of_the_burst_over_all_nodes() {
        let of = |burst, nodes| ahead(Limit { per_minute: 1, burst }, nodes);
        assert_eq!([of(100, 1), of(399, 1), of(400, 1), of(10_000, 1)], [0, 0, 4, 100]);
        assert_eq!([of(10_000, 4), of(10_000, 26), of(u32::MAX, 1), of(1_000, 0)], [25, 0, 200, 10]);
    }

    #[test]
    fn tokens_are_spent_here_and_void_when_the_bucket_could_be_full() {
        let (leases, asked) = (Leases::new(), Instant::now());
        assert!(leases.decide(tenant(), demand(1), asked).is_none());
        leases.note(tenant(), demand(1), said(3, 1_000), asked, asked);
        let left = |at| leases.decide(tenant(), demand(1), at).map(|decision| decision.remaining);
        assert_eq!([left(asked), left(asked)], [Some(502), Some(501)]);
        assert_eq!(left(asked + Duration::from_millis(1_000)), None, "full");
        assert_eq!(left(asked + Duration::from_millis(999)), Some(500));
        assert_eq!(left(asked), None, "spent");
    }

    #[test]
    fn a_slow_answer_does_not_keep_tokens_beyond_the_moment_at_which_the_bucket_was_full() {
        let (leases, asked) = (Leases::new(), Instant::now());
        let later = |ms| asked + Duration::from_millis(ms);
        leases.note(tenant(), demand(1), said(3, 1_000), asked, asked);
        leases.note(tenant(), demand(1), said(2, 1_000), later(900), later(999));
        leases.note(tenant(), demand(1), said(1, 5_000), later(1_800), later(1_900));
        let mut spent = 0;
        while leases.decide(tenant(), demand(1), later(2_000)).is_some() {
            spent += 1;
        }
        assert_eq!(spent, 1, "those before were good until 1,900");
    }

    #[test]
    fn another_limit_voids_everything() {
        let (leases, asked) = (Leases::new(), Instant::now());
        leases.note(tenant(), demand(1), said(3, 1_000), asked, asked);
        let other = Demand { limit: Limit { burst: 2_000, ..LIMIT }, ..demand(1) };
        assert!(leases.decide(tenant(), other, asked).is_none());
        leases.note(tenant(), other, said(0, 1_000), asked, asked);
        assert!(leases.decide(tenant(), demand(1), asked).is_none());
    }

    #[test]
    fn a_refusal_holds_until_there_is_a_token_and_no_longer() {
        let (leases, asked) = (Leases::new(), Instant::now());
        let refused = Assessment { enough: false, remaining: 0, wait: 10, full_in: 60_000, extra: 0 };
        leases.note(tenant(), demand(1), refused, asked, asked);
        let decision = leases.decide(tenant(), demand(1), asked + Duration::from_millis(4)).unwrap();
        assert!(!decision.allowed && decision.retry_after == Duration::from_millis(6), "{decision:?}");
        assert!(leases.decide(tenant(), demand(1), asked + Duration::from_millis(10)).is_none());
        leases.note(tenant(), demand(2_000), refused, asked, asked);
        assert!(leases.decide(tenant(), demand(1), asked).is_none(), "what is beyond the burst says nothing");
    }
}
