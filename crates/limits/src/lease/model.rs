//! `bucket.lua` once more, told by definition instead of by arithmetic tricks: time flows millisecond by stretch, what is
//! lent takes its room until it is given back or void. `tests/it/script.rs` shows that the script says the same.

use bulkhead_domain::Limit;

use crate::{Ahead, bucket::Assessment};

const TOKEN: i128 = 60_000;

/// What Redis holds of one bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    level: i128,
    at: i64,
    lent: u32,
    lent_until: i64,
}

impl Stored {
    fn full(limit: Limit, now: i64) -> Self {
        Self { level: i128::from(limit.burst) * TOKEN, at: now, lent: 0, lent_until: 0 }
    }

    fn room(&self, limit: Limit) -> i128 {
        ((i128::from(limit.burst) - i128::from(self.lent)) * TOKEN).max(0)
    }

    fn flow(&mut self, limit: Limit, until: i64) {
        let gained = i128::from((until - self.at).max(0)) * i128::from(limit.per_minute);
        self.level = (self.level + gained).min(self.room(limit));
        self.at = self.at.max(until);
    }

    fn advance(&mut self, limit: Limit, now: i64) {
        self.at = self.at.min(now);
        if self.lent_until <= now {
            self.flow(limit, self.lent_until.max(self.at));
            (self.lent, self.lent_until) = (0, 0);
        }
        self.flow(limit, now);
    }
}

/// What the script answers, and what it leaves behind in `stored`.
pub(crate) fn ask(
    stored: &mut Option<Stored>,
    limit: Limit,
    cost: u32,
    ahead: Ahead,
    lease: i64,
    now: i64,
) -> Assessment {
    let rate = i128::from(limit.per_minute);
    let mut bucket = stored.unwrap_or_else(|| Stored::full(limit, now));
    let mut is_changed = bucket.at > now;
    bucket.advance(limit, now);
    if ahead.over > 0 && now < i64::try_from(ahead.counted_until).unwrap_or(i64::MAX) {
        bucket.lent = bucket.lent.saturating_sub(ahead.over);
        let returned = (bucket.level + i128::from(ahead.unspent) * TOKEN).min(bucket.room(limit));
        bucket.level = bucket.level.max(returned);
        is_changed = true;
    }
    let cost = i128::from(cost) * TOKEN;
    let enough = bucket.level >= cost;
    let wait = whole(div_ceil((cost - bucket.level).max(0), rate));
    let mut extra = 0;
    if enough {
        bucket.level -= cost;
        let sixteenth = u32::try_from(bucket.level / TOKEN / 16).unwrap_or(u32::MAX);
        extra = ahead.wanted.min(ahead.most.saturating_sub(bucket.lent)).min(sixteenth);
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
    Assessment {
        enough,
        remaining: u32::try_from(bucket.level / TOKEN).unwrap_or(u32::MAX),
        wait,
        full_in: whole(div_ceil(i128::from(limit.burst) * TOKEN - bucket.level, rate)),
        extra,
        counted_until: if extra > 0 { u64::try_from(bucket.lent_until).unwrap_or_default() } else { 0 },
    }
}

fn div_ceil(value: i128, by: i128) -> i128 {
    (value + by - 1) / by
}

fn whole(value: i128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
