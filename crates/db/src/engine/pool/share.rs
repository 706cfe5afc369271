//! How many of a pool's connections one claimant may have.
//!
//! A tenant may have half of them. All log-ins together may have half of them too: their callers are not proven yet,
//! so they count towards no tenant. A side of the platform may have all but those that are kept for the other sides.
//! So where a pool has several claimants, the share of each is below the whole. A claimant that has used up its share
//! waits until a connection of that share comes back. It does not wait in the queues of the slots, where the other
//! claimants wait. Refuses to know what a connection is.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::engine::error::{DbError, DbResult};

/// What one claimant may have of a pool's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shares {
    /// All of them: the pool has one claimant.
    Whole,
    /// Half of them for each tenant, and half of them for all log-ins together.
    HalfPerTenant,
    /// All but one for each of the other sides of the platform: credentials, log-ins, operators, machinery.
    PerSide,
}

impl Shares {
    /// How many connections a pool must have for every share to be above nothing and below the whole.
    pub(super) const fn least_connections(self) -> usize {
        match self {
            Self::Whole => 1,
            Self::HalfPerTenant => 2,
            // One is kept for each side, and one is shared.
            Self::PerSide => Side::ALL + 1,
        }
    }
}

/// The side of the platform that works on the platform's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Look-ups that identify the caller of a credential that is ours, and what such calls need to know.
    Credentials = 0,
    /// What operators ask for.
    Operators = 1,
    /// The product's own work.
    Machinery = 2,
    /// Look-ups of the tenant or operator that a log-in names. The caller has proven nothing yet.
    Logins = 3,
}

impl Side {
    const ALL: usize = 4;
}

/// Who wants a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimant {
    /// A tenant, by a hash of its id.
    Tenant(u64),
    /// All log-ins together, to whichever tenant. A tenant does not cause the log-ins that name it, so they do not use
    /// its share.
    Logins,
    /// A side of the platform.
    Side(Side),
    /// The owner of all schemas.
    Owner,
}

/// Gives out the rights to have one of a pool's connections.
pub(super) enum Rights {
    Whole,
    HalfPerTenant(Arc<Tenants>),
    PerSide { kept: [Arc<Semaphore>; Side::ALL], shared: Arc<Semaphore> },
}

impl Rights {
    pub(super) fn new(shares: Shares, connections: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        match shares {
            Shares::Whole => Self::Whole,
            Shares::HalfPerTenant => {
                let tenants = Tenants { share: (connections / 2).max(1), present: Mutex::default() };
                Self::HalfPerTenant(Arc::new(tenants))
            }
            Shares::PerSide => Self::PerSide {
                kept: std::array::from_fn(|_| semaphore(1)),
                shared: semaphore(connections.saturating_sub(Side::ALL)),
            },
        }
    }

    /// Waits until the claimant may have one more connection. First come, first served, among those of one claimant.
    pub(super) async fn acquire(&self, claimant: Claimant) -> DbResult<Right> {
        match (self, claimant) {
            (Self::HalfPerTenant(tenants), Claimant::Tenant(tenant)) => {
                Ok(Right::Tenant(tenants.enter(Some(tenant)).await?))
            }
            (Self::HalfPerTenant(tenants), Claimant::Logins) => Ok(Right::Tenant(tenants.enter(None).await?)),
            (Self::PerSide { kept, shared }, Claimant::Side(side)) => {
                let own = kept.get(side as usize).ok_or(DbError::Busy)?;
                Ok(Right::Side(acquire_either(own, shared).await?))
            }
            _ => Ok(Right::Whole),
        }
    }
}

/// A permit of whichever semaphore has one first.
async fn acquire_either(own: &Arc<Semaphore>, shared: &Arc<Semaphore>) -> DbResult<OwnedSemaphorePermit> {
    let either = async {
        tokio::select! {
            biased;
            permit = Arc::clone(own).acquire_owned() => permit,
            permit = Arc::clone(shared).acquire_owned() => permit,
        }
    };
    either.await.map_err(|_closed| DbError::Busy)
}

/// The right to have one connection, given back when dropped.
pub(super) enum Right {
    Whole,
    Tenant(TenantRight),
    Side(#[expect(dead_code, reason = "held, and given back by being dropped")] OwnedSemaphorePermit),
}

impl Right {
    /// How many rights its claimant had when it got this one, with this one.
    pub(super) const fn at_once(&self) -> usize {
        match self {
            Self::Tenant(present) => present.count,
            Self::Whole | Self::Side(_) => 1,
        }
    }
}

/// The tenants that have connections or wait for some, and, as `None`, all log-ins together. Nothing is kept of a
/// tenant that has none and waits for none.
pub(super) struct Tenants {
    share: usize,
    present: Mutex<HashMap<Option<u64>, Account>>,
}

#[derive(Default)]
struct Account {
    count: usize,
    waiting: VecDeque<oneshot::Sender<TenantRight>>,
}

impl Tenants {
    async fn enter(self: &Arc<Self>, tenant: Option<u64>) -> DbResult<TenantRight> {
        let right = {
            let mut present = self.present.lock();
            let account = present.entry(tenant).or_default();
            if account.count < self.share {
                account.count += 1;
                return Ok(TenantRight {
                    tenants: Arc::clone(self),
                    tenant,
                    count: account.count,
                    left: false,
                });
            }
            let (sender, right) = oneshot::channel();
            account.waiting.retain(|other| !other.is_closed());
            account.waiting.push_back(sender);
            right
        };
        right.await.map_err(|_never_told| DbError::Busy)
    }

    /// Takes one right back, or passes it on: to the first transaction in the claimant's queue, when one waits.
    fn leave(&self, tenant: Option<u64>) -> Option<(oneshot::Sender<TenantRight>, usize)> {
        let mut present = self.present.lock();
        let Entry::Occupied(mut entry) = present.entry(tenant) else { return None };
        let account = entry.get_mut();
        if let Some(next) = account.waiting.pop_front() {
            return Some((next, account.count));
        }
        account.count -= 1;
        if account.count == 0 {
            entry.remove();
        }
        None
    }
}

/// A tenant's right to have one connection.
pub(super) struct TenantRight {
    tenants: Arc<Tenants>,
    tenant: Option<u64>,
    count: usize,
    left: bool,
}

impl Drop for TenantRight {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        while let Some((next, count)) = self.tenants.leave(self.tenant) {
            let heir = Self { tenants: Arc::clone(&self.tenants), tenant: self.tenant, count, left: false };
            // A transaction that has stopped waiting gives the right back here; one that stops later drops it.
            match next.send(heir) {
                Ok(()) => return,
                Err(mut heir) => heir.left = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_tenant_has_its_share_and_waits_behind_its_own() {
        let rights = Rights::new(Shares::HalfPerTenant, 4);
        let (one, two) = (Claimant::Tenant(1), Claimant::Tenant(2));
        let first = rights.acquire(one).await.unwrap();
        let second = rights.acquire(one).await.unwrap();
        assert_eq!((first.at_once(), second.at_once()), (1, 2));
        let mut third = Box::pin(rights.acquire(one));
        assert!(third.as_mut().now_or_never().is_none());
        assert_eq!(rights.acquire(two).now_or_never().unwrap().unwrap().at_once(), 1);
        drop(first);
        assert_eq!(third.now_or_never().unwrap().unwrap().at_once(), 2);
    }

    #[tokio::test]
    async fn who_logs_in_waits_behind_others_who_do_and_never_before_a_tenant() {
        let rights = Rights::new(Shares::HalfPerTenant, 4);
        let held = [
            rights.acquire(Claimant::Logins).await.unwrap(),
            rights.acquire(Claimant::Logins).await.unwrap(),
        ];
        let mut third = Box::pin(rights.acquire(Claimant::Logins));
        assert!(third.as_mut().now_or_never().is_none());
        for tenant in 1..4 {
            assert_eq!(
                rights.acquire(Claimant::Tenant(tenant)).now_or_never().unwrap().unwrap().at_once(),
                1
            );
        }
        drop(held);
        assert!(third.now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn what_stops_waiting_passes_its_turn_on_however_late() {
        let rights = Rights::new(Shares::HalfPerTenant, 2);
        let held = rights.acquire(Claimant::Tenant(1)).await.unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(rights.acquire(Claimant::Tenant(1)))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        // The first before it is its turn, the second after it was told and before it has looked.
        drop(waiting.remove(0));
        drop(held);
        drop(waiting.remove(0));
        let last = waiting.remove(0).now_or_never().unwrap().unwrap();
        let Rights::HalfPerTenant(tenants) = &rights else { unreachable!() };
        assert_eq!(tenants.present.lock().len(), 1);
        drop(last);
        assert!(tenants.present.lock().is_empty(), "nothing is kept of a tenant without connections");
    }

    #[tokio::test]
    async fn no_side_of_the_platform_can_take_the_last_connection_of_another() {
        let rights = Rights::new(Shares::PerSide, 6);
        let take_all = |side| {
            std::iter::from_fn(|| rights.acquire(Claimant::Side(side)).now_or_never()).collect::<Vec<_>>()
        };
        let operators = take_all(Side::Operators);
        assert_eq!(operators.len(), 3);
        assert_eq!((take_all(Side::Credentials).len(), take_all(Side::Machinery).len()), (1, 1));
        assert_eq!(take_all(Side::Logins).len(), 1);
        let mut machinery = take_all(Side::Machinery);
        machinery.extend(take_all(Side::Machinery));
        assert_eq!(machinery.len(), 1);
        drop(operators);
        assert_eq!(take_all(Side::Machinery).len(), 2);
    }
}
