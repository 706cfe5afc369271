//! A tenant's requests in flight.
//!
//! A token bucket does not keep slow requests from piling up; this does. Counted per process, because what it protects
//! (connections, threads, memory) is the process's. Holds one number for each tenant that has a request in flight, and
//! nothing for the others.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::Arc,
};

use bulkhead_domain::TenantId;
use bulkhead_telemetry::{
    Metrics,
    metrics::{LimitKind, LimitSource},
};
use parking_lot::Mutex;

/// Permits to have a request in flight, shared by the threads of a process.
#[derive(Clone)]
pub struct TenantPermits {
    inner: Arc<Inner>,
}

struct Inner {
    cap: u32,
    in_flight: Mutex<HashMap<TenantId, u32>>,
    metrics: Metrics,
}

impl TenantPermits {
    /// At most `cap` requests in flight for each tenant.
    pub fn new(cap: u32, metrics: Metrics) -> Self {
        Self { inner: Arc::new(Inner { cap: cap.max(1), in_flight: Mutex::default(), metrics }) }
    }

    /// A permit, unless the tenant has as many as it may. Never waits: a queue would only move the pile.
    pub fn acquire(&self, tenant: TenantId) -> Option<TenantPermit> {
        let granted = {
            let mut in_flight = self.inner.in_flight.lock();
            let count = in_flight.entry(tenant).or_default();
            let granted = *count < self.inner.cap;
            *count += u32::from(granted);
            granted
        };
        self.inner.metrics.limiter.decided(LimitKind::Concurrency, LimitSource::Local, granted);
        granted.then(|| TenantPermit { tenant, inner: Arc::clone(&self.inner) })
    }

    /// How many permits are out for a tenant.
    pub fn in_flight(&self, tenant: TenantId) -> u32 {
        self.inner.in_flight.lock().get(&tenant).copied().unwrap_or_default()
    }
}

/// Leave to have one request in flight, given back when dropped.
#[must_use = "the permit is given back when this is dropped"]
pub struct TenantPermit {
    tenant: TenantId,
    inner: Arc<Inner>,
}

impl Drop for TenantPermit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.inner.in_flight.lock().entry(self.tenant) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl fmt::Debug for TenantPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantPermit({})", self.tenant)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_tenant_has_as_many_requests_in_flight_as_it_may_and_others_have_theirs() {
        let permits = TenantPermits::new(2, Metrics::new().unwrap());
        let (one, two) = (permits.acquire(tenant(1)), permits.acquire(tenant(1)));
        assert!(one.is_some() && two.is_some() && permits.acquire(tenant(1)).is_none());
        assert!(permits.acquire(tenant(2)).is_some());
        drop(one);
        assert_eq!(permits.in_flight(tenant(1)), 1);
        assert!(permits.acquire(tenant(1)).is_some());
    }

    #[test]
    fn nothing_is_kept_of_tenants_without_requests_in_flight() {
        let permits = TenantPermits::new(1, Metrics::new().unwrap());
        for number in 0..10_000 {
            let permit = permits.acquire(tenant(number));
            assert!(permit.is_some() && permits.acquire(tenant(number)).is_none());
        }
        assert!(permits.inner.in_flight.lock().is_empty());
    }

    #[test]
    fn threads_never_hold_more_permits_than_there_are() {
        let permits = TenantPermits::new(3, Metrics::new().unwrap());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let permit = permits.acquire(tenant(1));
                        assert!(permits.in_flight(tenant(1)) <= 3);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(permits.in_flight(tenant(1)), 0);
    }
}
