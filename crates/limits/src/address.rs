//! Requests from one address.
//!
//! Decided in this process alone and without I/O, since it must cost nothing to refuse a flood. Owns two budgets: of
//! requests that show no credential, and of credentials that turn out to be no good. A client that shows a good
//! credential spends nothing of either. An IPv6 sender's /48 has a budget of its own, of as much as eight senders
//! have: one customer may hold all of the /48, and has 65,536 senders there.

use std::net::IpAddr;

use bulkhead_domain::{Limit, Network, Site};
use bulkhead_telemetry::{
    Metrics,
    metrics::{LimitKind, LimitSource},
};
use chrono::{DateTime, Utc};

use crate::{
    decision::{Decision, Demand, Prefetch},
    local::LocalBuckets,
};

/// Addresses remembered at most: some 5 MB.
const ADDRESSES: usize = 65_536;

/// How many senders' budget an IPv6 site has.
const OF_A_SITE: u32 = 8;

/// The buckets of senders, and of the sites of IPv6 senders.
struct Buckets {
    senders: LocalBuckets<Network>,
    sites: LocalBuckets<Site>,
}

impl Buckets {
    fn new() -> Self {
        Self { senders: LocalBuckets::new(ADDRESSES), sites: LocalBuckets::new(ADDRESSES) }
    }

    /// Takes from the sender's bucket and then from its site's: a request that the sender's bucket refuses costs the
    /// site nothing.
    fn take(&self, address: IpAddr, demand: Demand, now: DateTime<Utc>) -> Decision {
        let sender = Network::of(address);
        let [own] = self.senders.take(sender, [demand], now);
        match sender.site().filter(|_| own.allowed) {
            None => own,
            Some(site) => {
                let [site] = self.sites.take(site, [of_a_site(demand, demand.cost)], now);
                if site.allowed { own } else { site }
            }
        }
    }

    /// What the sender's bucket says about a demand, or its site's, where `of_site` is asked for. Takes nothing.
    fn look(&self, address: IpAddr, demand: Demand, of_site: u32, now: DateTime<Utc>) -> Decision {
        let sender = Network::of(address);
        let own = self.senders.look(sender, demand, now);
        match sender.site().filter(|_| own.allowed) {
            None => own,
            Some(site) => {
                let site = self.sites.look(site, of_a_site(demand, of_site), now);
                if site.allowed { own } else { site }
            }
        }
    }
}

fn of_a_site(demand: Demand, cost: u32) -> Demand {
    let Limit { per_minute, burst } = demand.limit;
    let times = |number: u32| number.saturating_mul(OF_A_SITE);
    Demand { limit: Limit { per_minute: times(per_minute), burst: times(burst) }, cost, ..demand }
}

/// A bucket of requests per address, shared by the threads of a process.
pub struct AddressLimiter {
    limit: Limit,
    buckets: Buckets,
    metrics: Metrics,
}

impl AddressLimiter {
    /// Lets `per_minute` requests a minute through from each address, and as many at once.
    pub fn new(per_minute: u32, metrics: Metrics) -> Self {
        Self { limit: Limit { per_minute, burst: per_minute }, buckets: Buckets::new(), metrics }
    }

    /// Decides on one request.
    pub fn check(&self, address: IpAddr, now: DateTime<Utc>) -> Decision {
        let decision = self.buckets.take(address, demand(self.limit, 1), now);
        self.metrics.limiter.decided(LimitKind::Ip, LimitSource::Local, decision.allowed);
        decision
    }
}

/// A budget of failures per address, shared by the threads of a process.
///
/// It is asked before the work that may fail and charged after work that has failed, so failures that are under way
/// are not counted yet. What they cost beyond the budget is a debt, of as much as the budget at most, and is paid back
/// first: a client that sends a thousand guesses at once waits two minutes for the next, not one second.
pub struct FailureBudget {
    per_minute: u32,
    /// Twice as large as the budget: the lower half is what can be owed.
    limit: Limit,
    buckets: Buckets,
    metrics: Metrics,
}

impl FailureBudget {
    /// Lets each address fail `per_minute` times a minute, and as often at once.
    pub fn new(per_minute: u32, metrics: Metrics) -> Self {
        Self {
            per_minute,
            limit: Limit { per_minute, burst: per_minute.saturating_mul(2) },
            buckets: Buckets::new(),
            metrics,
        }
    }

    /// Whether the address may fail once more. Takes nothing.
    pub fn ask(&self, address: IpAddr, now: DateTime<Utc>) -> Decision {
        // The upper half of a bucket may be spent: so the bucket has to hold one token more than the lower half.
        let least = |budget: u32| budget.saturating_add(1);
        let own = demand(self.limit, least(self.per_minute));
        let of_site = least(self.per_minute.saturating_mul(OF_A_SITE));
        let decision = self.buckets.look(address, own, of_site, now);
        // Requests that are let through are counted where their outcome is known.
        if !decision.allowed {
            self.metrics.limiter.decided(LimitKind::Ip, LimitSource::Local, false);
        }
        decision
    }

    /// Counts a failure.
    pub fn charge(&self, address: IpAddr, now: DateTime<Utc>) {
        let _charged_or_owes_all_it_can = self.buckets.take(address, demand(self.limit, 1), now);
    }
}

fn demand(limit: Limit, cost: u32) -> Demand {
    let nothing = Prefetch::default();
    Demand { bucket: "ip", limit, cost, prefetch: nothing }
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

    /// The holder of a /48 sends from another /64 each time.
    #[test]
    fn an_ipv6_site_has_the_budget_of_eight_senders_and_its_neighbour_has_its_own() {
        let from = |sender: u32| address(&format!("2001:db8:1:{sender:x}::1"));
        let neighbour = address("2001:db8:2::1");
        let limiter = AddressLimiter::new(10, Metrics::new().unwrap());
        let sent = (0..1_000).filter(|sender| limiter.check(from(*sender), START).allowed).count();
        assert_eq!(sent, 80);
        assert!(limiter.check(neighbour, START).allowed);
        let budget = FailureBudget::new(10, Metrics::new().unwrap());
        let failed = (0..1_000).filter(|sender| {
            let allowed = budget.ask(from(*sender), START).allowed;
            budget.charge(from(*sender), START);
            allowed
        });
        assert_eq!(failed.count(), 80);
        assert!(!budget.ask(from(1), START).allowed && budget.ask(neighbour, START).allowed);
        // One sender alone does not use it up, however much it sends.
        let (limiter, budget) = (
            AddressLimiter::new(10, Metrics::new().unwrap()),
            FailureBudget::new(10, Metrics::new().unwrap()),
        );
        for _ in 0..1_000 {
            limiter.check(from(1), START);
            budget.charge(from(1), START);
        }
        assert!(!limiter.check(from(1), START).allowed && !budget.ask(from(1), START).allowed);
        assert!(limiter.check(from(2), START).allowed && budget.ask(from(2), START).allowed);
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
