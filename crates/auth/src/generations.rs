//! Which of what a node has read of tenants is out of date.
//!
//! Owns a count for each tenant, which grows with every announced change of it: what was read before is not believed after, and
//! neither is what is being read at that moment. Tenants share a bounded number of counts, so that a change of one makes a node
//! read one tenant in some thousand anew. With one count for all, a tenant that changes its roles all day would make every
//! node read all of its neighbours again every two seconds.

use std::sync::atomic::{AtomicU64, Ordering};

use bulkhead_domain::TenantId;

/// How many counts there are.
const COUNTS: usize = 4_096;

/// How often each tenant is known to have changed.
#[derive(Debug)]
pub(crate) struct Generations {
    of_all: AtomicU64,
    counts: Box<[AtomicU64]>,
}

impl Default for Generations {
    fn default() -> Self {
        Self { of_all: AtomicU64::new(0), counts: (0..COUNTS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Generations {
    /// The tenant's. It never comes back once it has changed: both numbers only grow.
    pub(crate) fn of(&self, tenant: TenantId) -> u64 {
        let own = self.count(tenant).map_or(0, |count| count.load(Ordering::Acquire));
        self.of_all.load(Ordering::Acquire) + own
    }

    /// The tenant has changed.
    pub(crate) fn forget(&self, tenant: TenantId) {
        if let Some(count) = self.count(tenant) {
            count.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Any tenant may have changed.
    pub(crate) fn forget_all(&self) {
        self.of_all.fetch_add(1, Ordering::AcqRel);
    }

    fn count(&self, tenant: TenantId) -> Option<&AtomicU64> {
        // The low half of a UUIDv7 is random.
        let (_time, random) = tenant.uuid().as_u64_pair();
        usize::try_from(random % (COUNTS as u64)).ok().and_then(|place| self.counts.get(place))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_change_of_one_tenant_leaves_nearly_all_others_as_they_are() {
        let generations = Generations::default();
        let tenants: Vec<_> = (0..2_000_u64)
            .map(|number| {
                TenantId::from_uuid(Uuid::from_u64_pair(7, number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            })
            .collect();
        let before: Vec<_> = tenants.iter().map(|tenant| generations.of(*tenant)).collect();
        generations.forget(tenants[0]);
        let changed =
            tenants.iter().zip(&before).filter(|(tenant, before)| generations.of(**tenant) != **before);
        assert!((1..20).contains(&changed.count()));
        assert_ne!(generations.of(tenants[0]), before[0]);
        generations.forget_all();
        assert!(tenants.iter().zip(&before).all(|(tenant, before)| generations.of(*tenant) > *before));
    }
}
