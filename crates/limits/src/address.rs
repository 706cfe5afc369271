//! Requests from one address.
//!
//! Decided in this process alone and before anything else, since it must cost nothing to refuse a flood.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bulkhead_domain::Limit;
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

/// A bucket per address, shared by the threads of a process.
pub struct AddressLimiter {
    limit: Limit,
    buckets: LocalBuckets<Network>,
    metrics: Metrics,
}

/// What counts as one sender: an IPv4 address, or the /64 that a single IPv6 customer is given at least.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => Self::V6(prefix(v6)),
        }
    }
}

fn prefix(address: Ipv6Addr) -> [u16; 4] {
    let [a, b, c, d, ..] = address.segments();
    [a, b, c, d]
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
        let demand = Demand { bucket: "ip", limit: self.limit, cost: 1, ahead: Ahead::default() };
        let [decision] = self.buckets.take(Network::of(address), [demand], now);
        self.metrics.limiter.decided(LimitKind::Ip, LimitSource::Local, decision.allowed);
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_customer_is_one_sender_and_a_mapped_address_is_its_ipv4_address() {
        let limiter = AddressLimiter::new(2, Metrics::new().unwrap());
        let allowed = |address: &str| {
            limiter.check(address.parse().unwrap(), DateTime::from_timestamp_millis(0).unwrap()).allowed
        };
        assert!(allowed("2001:db8::1") && allowed("2001:db8::ffff:1:2:3") && !allowed("2001:db8::2"));
        assert!(allowed("2001:db8:0:1::1"));
        assert!(allowed("192.0.2.1") && allowed("::ffff:192.0.2.1") && !allowed("192.0.2.1"));
        assert!(allowed("192.0.2.2"));
        assert!(limiter.metrics.render().contains(
            "bulkhead_limiter_decisions_total{kind=\"ip\",outcome=\"refused\",source=\"local\"} 2"
        ));
    }
}
