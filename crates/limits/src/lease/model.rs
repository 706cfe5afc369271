//! `bucket.lua` once more, told by definition instead of by arithmetic tricks: time flows millisecond by stretch, what is
//! lent takes its room until it is given back or void. `tests/it/script.rs` shows that the script says the same.

use bulkhead_domain::Limit;

use crate::{Prefetch, bucket::Assessment};

const TOKEN: i128 = 60_000;

/// What Redis holds of one bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    level: i128,
    at: i64,
    pub(crate) lent: u32,
    lent_until: i64,
    account: i64,
    limit: Limit,
}

impl Stored {
    fn full(limit: Limit, now: i64) -> Self {
        let level = i128::from(limit.burst) * TOKEN;
        Self { level, at: now, lent: 0, lent_until: 0, account: now, limit }
    }

    fn room(&self) -> i128 {
        ((i128::from(self.limit.burst) - i128::from(self.lent)) * TOKEN).max(0)
    }

    fn flow(&mut self, until: i64) {
        let gained = i128::from((until - self.at).max(0)) * i128::from(self.limit.per_minute);
        self.level = (self.level + gained).min(self.room());
        self.at = self.at.max(until);
    }

    /// The bucket as it is at `now`, still under its own limit.
    pub(crate) fn advance(&mut self, now: i64) {
        self.at = self.at.min(now);
        if self.lent_until <= now {
            self.flow(self.lent_until.max(self.at));
            (self.lent, self.lent_until) = (0, 0);
        }
        self.flow(now);
    }

    /// Another limit: the account is closed.
    fn change(&mut self, limit: Limit, now: i64) {
        self.limit = limit;
        (self.lent, self.lent_until, self.account) = (0, 0, now.max(self.account + 1));
        self.level = self.level.min(self.room());
    }

    /// How long until it holds so much, found by looking at each moment at which what flows in changes.
    fn time_until(&self, needed: i128) -> i128 {
        let missing = |bucket: &Self| (needed - bucket.level).max(0);
        let rate = i128::from(self.limit.per_minute);
        if missing(self) == 0 || needed <= self.room() || self.lent_until <= self.at {
            return div_ceil(missing(self), rate);
        }
        let mut later = *self;
        later.advance(self.lent_until);
        i128::from(self.lent_until - self.at) + div_ceil(missing(&later), rate)
    }
}

/// What the script answers, and what it leaves behind in `stored`.
pub(crate) fn ask(
    stored: &mut Option<Stored>,
    limit: Limit,
    cost: u32,
    prefetch: Prefetch,
    lease: i64,
    now: i64,
) -> Assessment {
    let mut bucket = stored.unwrap_or_else(|| Stored::full(limit, now));
    let mut is_changed = bucket.at > now;
    bucket.advance(now);
    if bucket.limit != limit {
        bucket.change(limit, now);
        is_changed = true;
    }
    let is_counted = i64::try_from(prefetch.account).is_ok_and(|account| account == bucket.account)
        && now < i64::try_from(prefetch.counted_until).unwrap_or(i64::MAX);
    if prefetch.over > 0 && is_counted {
        bucket.lent = bucket.lent.saturating_sub(prefetch.over);
        let returned = (bucket.level + i128::from(prefetch.unspent) * TOKEN).min(bucket.room());
        bucket.level = bucket.level.max(returned);
        is_changed = true;
    }
    let needed = i128::from(cost) * TOKEN;
    let enough = bucket.level >= needed;
    let wait = whole(bucket.time_until(needed));
    let mut extra = 0;
    if enough {
        bucket.level -= needed;
        let sixteenth = u32::try_from(bucket.level / TOKEN / 16).unwrap_or(u32::MAX);
        extra = prefetch.wanted.min(prefetch.most.saturating_sub(bucket.lent)).min(sixteenth);
        bucket.level -= i128::from(extra) * TOKEN;
        is_changed |= cost > 0 || extra > 0;
    }
    if extra > 0 {
        bucket.lent += extra;
        bucket.lent_until = bucket.lent_until.max(now + lease);
    }
    if is_changed {
        *stored = Some(bucket);
    }
    let named = |moment: i64| if extra > 0 { u64::try_from(moment).unwrap_or_default() } else { 0 };
    Assessment {
        enough,
        remaining: u32::try_from(bucket.level / TOKEN).unwrap_or(u32::MAX),
        wait,
        full_in: whole(bucket.time_until(i128::from(limit.burst) * TOKEN)),
        extra,
        counted_until: named(bucket.lent_until),
        account: named(bucket.account),
    }
}

fn div_ceil(value: i128, by: i128) -> i128 {
    (value + by - 1) / by
}

fn whole(value: i128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
