//! Large requests: those whose bodies or answers take a processor for milliseconds, here and in PostgreSQL.
//!
//! A tenant's share of the processors is below the whole: a bounded number of its large requests is worked on at once,
//! whatever it has in flight, and its others wait until one of them is answered. The place of an answered request then
//! rests for as long as it was taken, but not for long, so that even on one processor time is left to other tenants.
//! How large an answer will be is known only when it is made: a tenant that was given a large one a moment ago is
//! expected to be given another.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::Arc,
    time::Duration,
};

use bulkhead_domain::TenantId;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::in_flight::Crowded;

/// A body from this size on is large, in bytes: reading its JSON takes longer than handing it to another thread.
const LARGE_BODY: usize = 16 << 10;
/// An answer from this size on is large, in bytes: writing costs less than reading.
const LARGE_ANSWER: usize = 64 << 10;
/// How long a place rests at most: one that was taken for longer has mostly waited for PostgreSQL.
const LONGEST_REST: Duration = Duration::from_millis(20);
/// How long a tenant's answers are expected to be as large as the last one.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Tenants that are remembered without a request in flight before the list is gone through.
const LOOKED_THROUGH_AT: usize = 1_024;

/// The large requests of all tenants, shared by the threads of a process.
#[derive(Clone)]
pub struct LargeRequests {
    at_once: usize,
    wait: Duration,
    tenants: Arc<Mutex<HashMap<TenantId, Account>>>,
}

/// What may be large about a request.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How many bytes its body has.
    pub body: usize,
    /// Whether its answer has the tenant's content in it.
    pub answers_content: bool,
}

impl Size {
    /// Whether its body is large.
    pub const fn has_large_body(self) -> bool {
        self.body >= LARGE_BODY
    }
}

struct Account {
    places: Arc<Semaphore>,
    /// Requests that have a place or wait for one.
    requests: usize,
    /// Until when large answers are expected.
    expected_until: Option<Instant>,
}

impl Account {
    fn is_needed(&self, now: Instant) -> bool {
        self.requests > 0 || self.expected_until.is_some_and(|until| until > now)
    }
}

impl LargeRequests {
    /// At most `at_once` large requests of a tenant are worked on at once, and one at least; the others wait up to
    /// `wait`.
    pub fn new(at_once: usize, wait: Duration) -> Self {
        Self { at_once: at_once.max(1), wait, tenants: Arc::default() }
    }

    /// Waits for a place, if a request is large; `None` if it is not, and [`Crowded::Share`] when no place came free
    /// in time. Dropping the future gives the place up. A request asks once: one that waits for a second place may
    /// wait for itself.
    pub async fn enter(&self, tenant: TenantId, size: Size) -> Result<Option<LargePlace>, Crowded> {
        let is_large = size.has_large_body() || (size.answers_content && self.expects(tenant));
        if !is_large {
            return Ok(None);
        }
        let (place, places) = self.begin(tenant);
        match tokio::time::timeout(self.wait, places.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Some(LargePlace { held: Some((permit, place)), since: Instant::now() })),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(Crowded::Share),
        }
    }

    fn begin(&self, tenant: TenantId) -> (Counted, Arc<Semaphore>) {
        let mut tenants = self.tenants.lock();
        let account = tenants.entry(tenant).or_insert_with(|| self.account());
        account.requests += 1;
        (Counted { tenant, tenants: Arc::clone(&self.tenants) }, Arc::clone(&account.places))
    }

    /// Notes that the tenant is given an answer of so many bytes.
    pub fn answered(&self, tenant: TenantId, bytes: usize) {
        if bytes < LARGE_ANSWER {
            return;
        }
        let now = Instant::now();
        let mut tenants = self.tenants.lock();
        if tenants.len() >= LOOKED_THROUGH_AT {
            tenants.retain(|_, account| account.is_needed(now));
        }
        tenants.entry(tenant).or_insert_with(|| self.account()).expected_until = Some(now + REMEMBERED);
    }

    fn account(&self) -> Account {
        Account { places: Arc::new(Semaphore::new(self.at_once)), requests: 0, expected_until: None }
    }

    fn expects(&self, tenant: TenantId) -> bool {
        let tenants = self.tenants.lock();
        tenants
            .get(&tenant)
            .and_then(|account| account.expected_until)
            .is_some_and(|until| until > Instant::now())
    }
}

impl fmt::Debug for LargeRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LargeRequests({} at once, {} tenants)", self.at_once, self.tenants.lock().len())
    }
}

/// A large request that is being worked on, until this is dropped; then its place rests.
#[must_use = "the request counts as answered when this is dropped"]
pub struct LargePlace {
    /// Taken out when the place rests.
    held: Option<(OwnedSemaphorePermit, Counted)>,
    since: Instant,
}

impl Drop for LargePlace {
    fn drop(&mut self) {
        let rest = self.since.elapsed().min(LONGEST_REST);
        let held = self.held.take();
        // A thread aside drops the place of a request that is past its deadline. It has no runtime to wait in, so the
        // place does not rest.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(rest).await;
                drop(held);
            });
        }
    }
}

impl fmt::Debug for LargePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LargePlace")
    }
}

/// A request among its tenant's.
struct Counted {
    tenant: TenantId,
    tenants: Arc<Mutex<HashMap<TenantId, Account>>>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Entry::Occupied(mut account) = self.tenants.lock().entry(self.tenant) {
            account.get_mut().requests -= 1;
            if !account.get().is_needed(Instant::now()) {
                account.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    async fn body(
        requests: &LargeRequests,
        number: u128,
        bytes: usize,
    ) -> Result<Option<LargePlace>, Crowded> {
        requests.enter(tenant(number), Size { body: bytes, answers_content: false }).await
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_large_requests_of_a_tenant_are_worked_on_at_once() {
        let requests = LargeRequests::new(2, Duration::from_secs(2));
        let first = body(&requests, 1, LARGE_BODY).await.unwrap();
        let second = body(&requests, 1, 1 << 20).await.unwrap();
        assert!(first.is_some() && second.is_some());
        assert!(body(&requests, 1, LARGE_BODY - 1).await.unwrap().is_none(), "small ones hold no request up");
        assert!(body(&requests, 2, LARGE_BODY).await.unwrap().is_some(), "a neighbour has places of its own");
        let mut third = Box::pin(body(&requests, 1, LARGE_BODY));
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_rests_for_as_long_as_it_was_taken_but_not_for_long() {
        let requests = LargeRequests::new(1, Duration::from_secs(2));
        for (taken, rest) in
            [(Duration::from_millis(7), Duration::from_millis(7)), (REMEMBERED, LONGEST_REST)]
        {
            let place = body(&requests, 1, LARGE_BODY).await.unwrap();
            tokio::time::advance(taken).await;
            drop(place);
            let asked = Instant::now();
            drop(body(&requests, 1, LARGE_BODY).await.unwrap());
            assert_eq!(asked.elapsed(), rest);
            tokio::time::sleep(2 * LONGEST_REST).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_too_long_is_refused_and_nothing_is_kept_of_it() {
        let requests = LargeRequests::new(1, Duration::from_secs(2));
        let first = body(&requests, 1, LARGE_BODY).await.unwrap();
        assert_eq!(body(&requests, 1, LARGE_BODY).await.unwrap_err(), Crowded::Share);
        drop(first);
        tokio::time::sleep(2 * LONGEST_REST).await;
        assert!(requests.tenants.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_large_answer_the_next_is_expected_to_be_large_for_a_while() {
        let requests = LargeRequests::new(1, Duration::from_secs(2));
        let read = || requests.enter(tenant(1), Size { body: 0, answers_content: true });
        requests.answered(tenant(1), LARGE_ANSWER - 1);
        assert!(read().await.unwrap().is_none());
        requests.answered(tenant(1), LARGE_ANSWER);
        assert!(read().await.unwrap().is_some());
        assert!(body(&requests, 1, 0).await.unwrap().is_none(), "what writes little is not large");
        tokio::time::advance(REMEMBERED).await;
        assert!(read().await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn tenants_are_forgotten() {
        let requests = LargeRequests::new(1, Duration::from_secs(2));
        for number in 0..10_000 {
            requests.answered(tenant(number), LARGE_ANSWER);
            tokio::time::advance(REMEMBERED / 500).await;
        }
        assert!(requests.tenants.lock().len() <= LOOKED_THROUGH_AT);
    }
}
