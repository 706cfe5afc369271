//! Token buckets in this process's memory.
//!
//! Bounded and sharded. When a shard is full, the fullest buckets are forgotten first: a forgotten bucket begins full
//! again, so what forgetting grants is as little as it can be.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hash},
};

use bulkhead_domain::Limit;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::{
    bucket::Bucket,
    decision::{Decision, Demand, Source},
};

/// Few threads wait for each other with so many locks.
const SHARDS: usize = 64;
/// The part of a full shard that is forgotten at once, so that the work of choosing is spread over many insertions.
const FORGOTTEN_PART: usize = 8;

/// Buckets of owners of type `O`, each bucket with a name.
pub struct LocalBuckets<O> {
    hasher: RandomState,
    shards: Vec<Mutex<Shard<O>>>,
    shard_capacity: usize,
}

type Shard<O> = HashMap<(O, &'static str), Held, RandomState>;

#[derive(Clone, Copy)]
struct Held {
    bucket: Bucket,
    limit: Limit,
}

impl<O: Copy + Eq + Hash> LocalBuckets<O> {
    /// Room for about `capacity` buckets. They take memory only when used.
    pub fn new(capacity: usize) -> Self {
        let shards = std::iter::repeat_with(|| Mutex::new(HashMap::default())).take(SHARDS).collect();
        Self {
            hasher: RandomState::new(),
            shards,
            shard_capacity: capacity.div_ceil(SHARDS).max(FORGOTTEN_PART),
        }
    }

    /// Takes tokens from all of an owner's buckets named, or from none. A bucket not seen before is full.
    pub fn take<const N: usize>(&self, owner: O, demands: [Demand; N], now: DateTime<Utc>) -> [Decision; N] {
        let now = now.timestamp_millis();
        self.with_shard(owner, |shard| {
            let buckets = demands.map(|demand| current(shard, owner, demand, now));
            let admitted = std::iter::zip(&buckets, &demands)
                .all(|(bucket, demand)| bucket.assess(demand.limit, demand.cost).enough);
            let mut buckets = buckets.into_iter();
            demands.map(|demand| {
                let before = buckets.next().unwrap_or_else(|| Bucket::full(demand.limit, now));
                let after = if admitted { before.take(demand.cost) } else { before };
                self.keep(shard, owner, demand, after, now);
                let mut said = before.assess(demand.limit, demand.cost);
                let left = after.assess(demand.limit, 0);
                (said.remaining, said.full_in) = (left.remaining, left.full_in);
                Decision::new(demand, said, Source::Local)
            })
        })
    }

    /// What a bucket says about a demand. Takes nothing and remembers nothing.
    pub fn look(&self, owner: O, demand: Demand, now: DateTime<Utc>) -> Decision {
        let now = now.timestamp_millis();
        self.with_shard(owner, |shard| {
            let said = current(shard, owner, demand, now).assess(demand.limit, demand.cost);
            Decision::new(demand, said, Source::Local)
        })
    }

    /// Cuts a bucket to `tokens`, its part of what is known to be left. It never gains by this.
    pub(crate) fn cap(&self, owner: O, demand: Demand, tokens: u32, now: DateTime<Utc>) {
        let now = now.timestamp_millis();
        self.with_shard(owner, |shard| {
            let bucket = current(shard, owner, demand, now).capped(tokens);
            self.keep(shard, owner, demand, bucket, now);
        });
    }

    /// How many buckets are held.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether no bucket is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All buckets of an owner are in one shard, so that they can be taken from together.
    fn with_shard<T>(&self, owner: O, work: impl FnOnce(&mut Shard<O>) -> T) -> T {
        let hash = self.hasher.hash_one(owner);
        let index = usize::try_from(hash % (SHARDS as u64)).unwrap_or_default();
        match self.shards.get(index) {
            Some(shard) => work(&mut shard.lock()),
            None => work(&mut HashMap::default()),
        }
    }

    fn keep(&self, shard: &mut Shard<O>, owner: O, demand: Demand, bucket: Bucket, now: i64) {
        let held = Held { bucket, limit: demand.limit };
        if let Some(known) = shard.get_mut(&(owner, demand.bucket)) {
            *known = held;
            return;
        }
        if shard.len() >= self.shard_capacity {
            forget(shard, self.shard_capacity, now);
        }
        shard.insert((owner, demand.bucket), held);
    }
}

fn current<O: Copy + Eq + Hash>(shard: &Shard<O>, owner: O, demand: Demand, now: i64) -> Bucket {
    let held = shard.get(&(owner, demand.bucket));
    // Up to now the limit was the one it was held under.
    held.map_or_else(
        || Bucket::full(demand.limit, now),
        |held| held.bucket.at(held.limit, now).at(demand.limit, now),
    )
}

/// Makes room: forgets all full buckets, and beyond that the fullest.
fn forget<O: Copy + Eq + Hash>(shard: &mut Shard<O>, capacity: usize, now: i64) {
    let emptiness = |held: &Held| held.bucket.at(held.limit, now).emptiness(held.limit);
    shard.retain(|_, held| emptiness(held) > 0);
    let room = capacity / FORGOTTEN_PART;
    let Some(too_many) = (shard.len() + room).checked_sub(capacity).filter(|count| *count > 0) else {
        return;
    };
    let mut fullest: Vec<_> = shard.iter().map(|(key, held)| (emptiness(held), *key)).collect();
    let last = too_many.min(fullest.len()) - 1;
    fullest.select_nth_unstable_by_key(last, |(emptiness, _)| *emptiness);
    for (_, key) in fullest.iter().take(too_many) {
        shard.remove(key);
    }
}

#[cfg(test)]
mod tests;
