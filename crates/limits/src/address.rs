//! Requests from one address.
//!
//! Decided in this process alone and without I/O, since it must cost nothing to refuse a flood. Owns two budgets: of
//! requests that show no credential, and of credentials that turn out to be no good. Who shows a good credential spends
//! nothing of either.

use std::net::IpAddr;

use bulkhead_domain::{Limit, Network};
use bulkhead_telemetry::{
    Metrics,
    metrics::{LimitKind, LimitSource},
};
use chrono::{DateTime, Utc};

use crate::{
    decision::{Ahead, Decision, Demand},
    local::LocalBuckets,
};

/// Addresses remembered at most: some 5 MB.
const ADDRESSES: usize = 65_536;

/// A bucket of requests per address, shared by the threads of a process.
pub struct AddressLimiter {
    limit: Limit,
    buckets: LocalBuckets<Network>,
    metrics: Metrics,
}

impl AddressLimiter {
    /// Lets `per_minute` requests a minute through from each address, and as many at once.
    pub fn new(per_minute: u32, metrics: Metrics) -> Self {
        Self {
            limit: Limit { per_minute, burst: per_minute },
            buckets: LocalBuckets::new(ADDRESSES),
            metrics,
        }
    }

    /// Decides on one request.
    pub fn check(&self, address: IpAddr, now: DateTime<Utc>) -> Decision {
        let [decision] = self.buckets.take(Network::of(address), [demand(self.limit, 1)], now);
        self.metrics.limiter.decided(LimitKind::Ip, LimitSource::Local, decision.allowed);
        decision
    }
}

/// A budget of failures per address, shared by the threads of a process.
///
/// It is asked before the work that may fail and charged after the work that did, so failures that are under way are not
/// counted yet. What they cost beyond the budget is a debt, of as much as the budget at most, and is paid back first: who
/// sends a thousand guesses at once waits two minutes for the next, not one second.
pub struct FailureBudget {
    per_minute: u32,
    /// Twice as large as the budget: the lower half is what can be owed.
    limit: Limit,
    buckets: LocalBuckets<Network>,
    metrics: Metrics,
}

impl FailureBudget {
    /// Lets each address fail `per_minute` times a minute, and as often at once.
    pub fn new(per_minute: u32, metrics: Metrics) -> Self {
        Self {
            per_minute,
            limit: Limit { per_minute, burst: per_minute.saturating_mul(2) },
            buckets: LocalBuckets::new(ADDRESSES),
            metrics,
        }
    }

    /// Whether the address may fail once more. Takes nothing.
    pub fn ask(&self, address: IpAddr, now: DateTime<Utc>) -> Decision {
        let least = demand(self.limit, self.per_minute.saturating_add(1));
        let decision = self.buckets.look(Network::of(address), least, now);
        // Those that are let through are counted where it is known what became of them.
        if !decision.allowed {
            self.metrics.limiter.decided(LimitKind::Ip, LimitSource::Local, false);
        }
        decision
    }

    /// Counts a failure.
    pub fn charge(&self, address: IpAddr, now: DateTime<Utc>) {
        let [_charged_or_owes_all_it_can] =
            self.buckets.take(Network::of(address), [demand(self.limit, 1)], now);
    }
}

fn demand(limit: Limit, cost: u32) -> Demand {
    let nothing = Ahead::default();
    Demand { bucket: "ip", limit, cost, ahead: nothing }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const START: DateTime<Utc> = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv6_customer_is_one_sender_and_a_mapped_address_is_its_ipv4_address() {
        let limiter = AddressLimiter::new(2, Metrics::new().unwrap());
        let allowed = |text: &str| limiter.check(address(text), START).allowed;
        assert!(allowed("2001:db8::1") && allowed("2001:db8::ffff:1:2:3") && !allowed("2001:db8::2"));
        assert!(allowed("2001:db8:0:1::1"));
        assert!(allowed("192.0.2.1") && allowed("::ffff:192.0.2.1") && !allowed("192.0.2.1"));
        assert!(allowed("192.0.2.2"));
        assert!(limiter.metrics.render().contains(
            "bulkhead_limiter_decisions_total{kind=\"ip\",outcome=\"refused\",source=\"local\"} 2"
        ));
    }

    #[test]
    fn asking_takes_nothing_and_failing_does() {
        let budget = FailureBudget::new(3, Metrics::new().unwrap());
        let (here, elsewhere) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..100 {
            assert!(budget.ask(here, START).allowed);
        }
        for _ in 0..3 {
            assert!(budget.ask(here, START).allowed);
            budget.charge(here, START);
        }
        let refused = budget.ask(here, START);
        assert!(!refused.allowed && budget.ask(elsewhere, START).allowed);
        assert_eq!(refused.retry_after.as_secs(), 20);
        assert!(budget.ask(here, START + TimeDelta::seconds(20)).allowed);
    }

    #[test]
    fn failures_at_once_are_owed_up_to_one_budget_and_no_further() {
        let budget = FailureBudget::new(60, Metrics::new().unwrap());
        let here = address("192.0.2.1");
        for _ in 0..1_000 {
            budget.charge(here, START);
        }
        assert_eq!(budget.ask(here, START).retry_after.as_secs(), 61);
        assert!(!budget.ask(here, START + TimeDelta::seconds(60)).allowed);
        assert!(budget.ask(here, START + TimeDelta::seconds(61)).allowed);
    }
}
