//! What Redis has said, used for as long as it is certain to hold.
//!
//! Asking for every request costs a round trip that is most of the work of admission. Two things need not be asked:
//!
//! - **Tokens taken ahead.** With a request's own token a node may take a few more, which are gone from the bucket at once
//!   and are spent here. Redis keeps their room in the bucket free for as long as it counts them as lent, so what is in
//!   the bucket and what is lent is never more than the burst. A lease is [`LENGTH`] long; with its next demand the node
//!   gives it back, together with the tokens that it has not spent. When Redis was not asked that demand, nothing was
//!   given back, and the node keeps the lease for the next one. When the answer was lost, the node does not know
//!   whether the lease was given back, and does not give it back again: Redis then keeps the room until the lease is
//!   over, a hundredth of the burst at most.
//! - **A refusal.** Redis has said when there will be a token; until then there is none for any request.
//!
//! Neither admits a request that the bucket itself would not have. Tokens ahead are at most a hundredth of the burst, over
//! all nodes, and at most a sixteenth of what is left (`bucket.lua`), so that a bucket that runs dry is shared to the last.
//!
//! **Another limit ends a lease on both sides.** Redis closes the account in which it was counted, so the new bucket owes
//! nothing for what was lent under the old limit; a node that has heard of the new one spends no token of the old one and
//! gives none back. A node that has not heard of it yet (for the seconds that its copy of the directory is good) may
//! spend what it holds: at most a hundredth of the old burst, over all nodes, comes on top once for each change.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    time::{Duration, Instant},
};

use bulkhead_domain::{Limit, TenantId};
use parking_lot::Mutex;

use crate::{
    bucket::{Assessment, Bucket},
    decision::{Decision, Demand, Prefetch, Source, TENANT},
};

/// How long tokens taken ahead are good: long enough for a tenant with ten requests a minute to save most round trips.
pub(crate) const LENGTH: Duration = Duration::from_secs(30);
/// The number of locks: with so many, few threads wait for each other.
const SHARDS: usize = 64;
/// Tenants remembered in each; when there are more, those that no longer hold anything are forgotten, or all.
const SHARD_CAPACITY: usize = 2_048;
/// The part of a burst that all nodes together may take ahead.
const PART: u32 = 100;
/// Tokens taken ahead at most; more would save no more round trips.
const MOST: u32 = 200;
/// Fewer tokens are not taken ahead: they would not be worth it.
const FEWEST: u32 = 4;

/// How many tokens one of `nodes` nodes takes ahead.
fn wanted(limit: Limit, nodes: u32) -> u32 {
    let most = (limit.burst / PART / nodes.max(1)).min(MOST);
    if most < FEWEST { 0 } else { most }
}

#[derive(Clone, Copy)]
struct Held {
    limit: Limit,
    /// Tokens taken ahead and not spent.
    tokens: u32,
    /// When the tokens taken ahead are void.
    until: Instant,
    /// Tokens that are to be given back with the next demand, and are not spent any more.
    unspent: u32,
    /// Tokens that Redis counts as lent to this node, until when, and in which account.
    lent: u32,
    counted_until: u64,
    account: u64,
    /// What was left in the bucket besides, by the clock of [`Leases::millis`].
    left: Bucket,
    /// Until when there is no token.
    empty_until: Option<Instant>,
}

impl Held {
    /// Holds no tokens any more, nor owes any.
    fn forget_lease(&mut self) {
        (self.tokens, self.unspent, self.lent) = (0, 0, 0);
    }
}

/// What this process holds of the tenants' buckets.
pub(crate) struct Leases {
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<TenantId, Held>>>,
    epoch: Instant,
}

impl Leases {
    pub(crate) fn new() -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { hasher: RandomState::new(), shards, epoch: Instant::now() }
    }

    /// The decision, where Redis need not be asked. Otherwise the error is the demand to ask Redis for, once: it gives
    /// back what this node held.
    pub(crate) fn decide(
        &self,
        tenant: TenantId,
        limit: Limit,
        cost: u32,
        nodes: u32,
        now: Instant,
    ) -> Result<Decision, Demand> {
        let prefetch =
            Prefetch { wanted: wanted(limit, nodes), most: limit.burst / PART, ..Prefetch::default() };
        let demand = Demand { bucket: TENANT, limit, cost, prefetch };
        if cost == 0 {
            return Err(Demand { prefetch: Prefetch::default(), ..demand });
        }
        let Some(shard) = self.shard(tenant) else { return Err(demand) };
        let mut shard = shard.lock();
        let Some(held) = shard.get_mut(&tenant) else { return Err(demand) };
        if held.limit == limit {
            let left = held.left.at(limit, self.millis(now)).assess(limit, 0);
            if now < held.until && held.tokens >= cost {
                held.tokens -= cost;
                let remaining = left.remaining.saturating_add(held.tokens).min(limit.burst);
                let said = Assessment { enough: true, remaining, ..left };
                return Ok(Decision::new(demand, said, Source::Lease));
            }
            if let Some(until) = held.empty_until.filter(|until| *until > now) {
                let wait = whole(until - now).max(1);
                let said = Assessment { enough: false, remaining: 0, wait, ..left };
                return Ok(Decision::new(demand, said, Source::Lease));
            }
        } else {
            held.forget_lease();
        }
        let (over, counted_until, account) = (held.lent, held.counted_until, held.account);
        let unspent = held.tokens.saturating_add(held.unspent);
        held.forget_lease();
        Err(Demand { prefetch: Prefetch { over, counted_until, unspent, account, ..prefetch }, ..demand })
    }

    /// Takes a demand back that Redis was not asked: it has given nothing back, so the next demand is to do that.
    pub(crate) fn keep(&self, tenant: TenantId, demand: Demand) {
        let Prefetch { over, counted_until, unspent, account, .. } = demand.prefetch;
        let Some(shard) = self.shard(tenant) else { return };
        let mut shard = shard.lock();
        let Some(held) = shard.get_mut(&tenant).filter(|held| over > 0 && held.limit == demand.limit) else {
            return;
        };
        if held.lent == 0 {
            (held.counted_until, held.account) = (counted_until, account);
        } else if held.account != account {
            return;
        }
        held.lent += over;
        held.unspent += unspent;
        held.counted_until = held.counted_until.min(counted_until);
    }

    /// Takes in what Redis has `said` to a demand that was sent at `asked` and answered `now`. Its times count from `asked`:
    /// Redis has looked at the bucket a moment later, so what is derived from them ends a moment too early.
    pub(crate) fn note(
        &self,
        tenant: TenantId,
        demand: Demand,
        said: Assessment,
        asked: Instant,
        now: Instant,
    ) {
        // A demand beyond the burst says nothing about smaller ones.
        let is_refusal = !said.enough && demand.cost == 1;
        let empty_until = is_refusal.then(|| asked + Duration::from_millis(said.wait));
        let left = Bucket::full(demand.limit, self.millis(asked)).capped(said.remaining);
        let Some(shard) = self.shard(tenant) else { return };
        let mut shard = shard.lock();
        if !shard.contains_key(&tenant) {
            if said.extra == 0 && empty_until.is_none() {
                return;
            }
            make_room(&mut shard, now);
        }
        let (until, counted_until) = (asked + LENGTH, said.counted_until);
        let held = shard.entry(tenant).or_insert(Held {
            limit: demand.limit,
            tokens: 0,
            until,
            unspent: 0,
            lent: 0,
            counted_until,
            account: said.account,
            left,
            empty_until,
        });
        if held.limit != demand.limit {
            held.forget_lease();
        }
        if said.extra > 0 {
            if held.lent == 0 || held.account != said.account {
                // Nothing was held, or only of an account that is closed.
                held.forget_lease();
                (held.until, held.counted_until, held.account) = (until, counted_until, said.account);
            }
            // Other threads may have asked meanwhile. When tokens were lent twice, the earlier end counts for both
            // leases.
            held.until = held.until.min(until);
            held.counted_until = held.counted_until.min(counted_until);
            held.lent += said.extra;
            held.tokens += said.extra;
        }
        if now >= held.until {
            held.tokens = 0;
        }
        (held.limit, held.left, held.empty_until) = (demand.limit, left, empty_until);
    }

    fn shard(&self, tenant: TenantId) -> Option<&Mutex<HashMap<TenantId, Held>>> {
        let hash = self.hasher.hash_one(tenant);
        self.shards.get(usize::try_from(hash % (SHARDS as u64)).unwrap_or_default())
    }

    /// A moment as a number that buckets take.
    fn millis(&self, now: Instant) -> i64 {
        i64::try_from(whole(now.saturating_duration_since(self.epoch))).unwrap_or(i64::MAX)
    }
}

/// Forgets tenants of whom nothing is held, or everything. What is forgotten stays lent until its lease is over.
fn make_room(shard: &mut HashMap<TenantId, Held>, now: Instant) {
    if shard.len() >= SHARD_CAPACITY {
        shard.retain(|_, held| held.until > now || held.empty_until.is_some_and(|until| until > now));
        if shard.len() >= SHARD_CAPACITY {
            shard.clear();
        }
    }
}

fn whole(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
