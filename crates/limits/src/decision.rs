//! Demands, decisions, and the headers that tell clients about them.
//!
//! The headers follow draft-ietf-httpapi-ratelimit-headers-10 (September 2025): structured-field lists of quoted policy
//! names. `RateLimit-Policy` carries the quota `q` of a window of `w` seconds; `RateLimit` the units `r` that remain and
//! the seconds `t` for which that was said.

use std::{fmt::Write, time::Duration};

use bulkhead_domain::Limit;
pub use bulkhead_telemetry::metrics::LimitSource as Source;

use crate::bucket::Assessment;

/// The bucket of a tenant's requests.
pub const TENANT: &str = "tenant";

/// The bucket of an API key's requests.
pub const KEY: &str = "key";

/// Tokens wanted from one bucket.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The bucket's name among its owner's, as headers and keys show it: lower-case letters and hyphens.
    pub bucket: &'static str,
    /// Its limit.
    pub limit: Limit,
    /// Tokens wanted. With 0 the bucket is looked at and left as it is.
    pub cost: u32,
    /// What is wanted besides, for later requests.
    pub prefetch: Prefetch,
}

/// Tokens wanted ahead, and what is given back of those that were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefetch {
    /// Tokens wanted: as many as may be had, or none.
    pub wanted: u32,
    /// Tokens that all nodes together may hold ahead.
    pub most: u32,
    /// Tokens of former leases that this node does not hold any more.
    pub over: u32,
    /// Until when the server counts them as lent, by its own clock, in milliseconds since the epoch.
    pub counted_until: u64,
    /// How many of them were never spent.
    pub unspent: u32,
    /// The server's account in which they are counted.
    pub account: u64,
}

impl Demand {
    /// The same demand, of one of `nodes` nodes that decide alone.
    pub(crate) fn share(self, nodes: u32) -> Self {
        Self { limit: self.limit.share(nodes), prefetch: Prefetch::default(), ..self }
    }
}

/// What became of a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The bucket's name.
    pub bucket: &'static str,
    /// Whether the bucket held enough. A request that needs several buckets is admitted when all did; otherwise
    /// nothing was taken from any.
    pub allowed: bool,
    /// The limit, also when this process enforces only its share of it.
    pub limit: Limit,
    /// Whole tokens left, in this process's share when it decided alone.
    pub remaining: u32,
    /// Until the same demand can succeed; zero when it did. A demand beyond the burst never can.
    pub retry_after: Duration,
    /// Until the bucket is full.
    pub reset_after: Duration,
    /// Who decided.
    pub source: Source,
}

impl Decision {
    pub(crate) fn new(demand: Demand, said: Assessment, source: Source) -> Self {
        Self {
            bucket: demand.bucket,
            allowed: said.enough,
            limit: demand.limit,
            remaining: said.remaining.saturating_add(said.extra),
            retry_after: Duration::from_millis(said.wait),
            reset_after: Duration::from_millis(said.full_in),
            source,
        }
    }
}

/// The value of `RateLimit-Policy`: `"tenant";q=100;w=60`.
pub fn rate_limit_policy(decisions: &[Decision]) -> String {
    list(decisions.iter(), |out, decision| {
        write!(out, "\"{}\";q={};w=60", decision.bucket, decision.limit.per_minute)
    })
}

/// The value of `RateLimit`: `"tenant";r=42;t=17`.
///
/// For an admitted request `t` is the time until the bucket is full. For a refused one only the buckets that refused are
/// listed, and `t` is the time until they would not, so that `Retry-After` is never earlier than `t`.
pub fn rate_limit(decisions: &[Decision]) -> String {
    let refused = decisions.iter().any(|decision| !decision.allowed);
    list(decisions.iter().filter(|decision| !refused || !decision.allowed), |out, decision| {
        let time = if refused { at_least_one(decision.retry_after) } else { seconds(decision.reset_after) };
        write!(out, "\"{}\";r={};t={time}", decision.bucket, decision.remaining)
    })
}

/// The value of `Retry-After` in seconds, at least 1, when any bucket refused.
pub fn retry_after(decisions: &[Decision]) -> Option<u64> {
    let refused = decisions.iter().filter(|decision| !decision.allowed);
    refused.map(|decision| at_least_one(decision.retry_after)).max()
}

fn list<'a>(
    decisions: impl Iterator<Item = &'a Decision>,
    item: impl Fn(&mut String, &Decision) -> std::fmt::Result,
) -> String {
    let mut out = String::with_capacity(48);
    for decision in decisions {
        if !out.is_empty() {
            out.push_str(", ");
        }
        // Writing to a `String` does not fail.
        let _: std::fmt::Result = item(&mut out, decision);
    }
    out
}

/// Whole seconds, rounded up: a client that waits so long has waited long enough.
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

fn at_least_one(time: Duration) -> u64 {
    seconds(time).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(bucket: &'static str, allowed: bool, retry_ms: u64, reset_ms: u64) -> Decision {
        Decision {
            bucket,
            allowed,
            limit: Limit { per_minute: 100, burst: 50 },
            remaining: 42,
            retry_after: Duration::from_millis(retry_ms),
            reset_after: Duration::from_millis(reset_ms),
            source: Source::Redis,
        }
    }

    #[test]
    fn an_admitted_request_is_told_when_the_bucket_is_full() {
        let decisions = [decision(TENANT, true, 0, 16_001)];
        assert_eq!(rate_limit_policy(&decisions), "\"tenant\";q=100;w=60");
        assert_eq!(rate_limit(&decisions), "\"tenant\";r=42;t=17");
        assert_eq!(retry_after(&decisions), None);
    }

    #[test]
    fn a_refused_request_is_told_when_to_come_back_and_never_at_once() {
        for (wait, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            let decisions = [decision(TENANT, false, wait, 60_000)];
            assert_eq!(retry_after(&decisions), Some(seconds));
            assert_eq!(rate_limit(&decisions), format!("\"tenant\";r=42;t={seconds}"));
        }
    }

    #[test]
    fn with_several_buckets_the_slowest_of_those_that_refused_decides() {
        let decisions = [
            decision(TENANT, true, 0, 60_000),
            decision("writes", false, 1500, 9000),
            decision("bytes", false, 10, 1),
        ];
        assert_eq!(retry_after(&decisions), Some(2));
        assert_eq!(rate_limit(&decisions), "\"writes\";r=42;t=2, \"bytes\";r=42;t=1");
        assert_eq!(
            rate_limit_policy(&decisions),
            "\"tenant\";q=100;w=60, \"writes\";q=100;w=60, \"bytes\";q=100;w=60"
        );
    }
}
