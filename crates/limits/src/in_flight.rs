//! What a tenant has in flight: requests, and the bytes that they hold in memory.
//!
//! A token bucket does not keep slow requests from piling up; this does. Counted per process, because what it protects
//! (connections, threads, memory) is the process's. A party (a tenant, or the operators together) has a share of the bytes that is below the whole; what it wants beyond waits for its own to be given back,
//! behind nobody else and in nobody's way. When the whole is taken, the party that holds least comes first. Holds an account
//! of each party that has something in flight, and nothing of the others. Refuses to measure: bytes are what its callers say,
//! and are to be said before the memory is used.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    fmt,
    sync::Arc,
    time::Duration,
};

use bulkhead_domain::TenantId;
use bulkhead_telemetry::{
    Metrics,
    metrics::{LimitKind, LimitSource},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// A tenant's.
    Tenant(TenantId),
    /// An operator's.
    Operators,
}

/// What may be in flight in a process.
#[derive(Clone, Copy, Debug)]
pub struct InFlightOptions {
    /// Requests of one tenant.
    pub requests: u32,
    /// Bytes of one party.
    pub share: usize,
    /// Bytes of all parties.
    pub whole: usize,
    /// How long a request waits for bytes.
    pub wait: Duration,
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// Its tenant has as many requests in flight as it may.
    Requests,
    /// Its party's bytes were in use for as long as it waited.
    Share,
    /// All parties' bytes were in use for as long as it waited.
    Whole,
}

/// The accounts of all parties, shared by the threads of a process.
#[derive(Clone)]
pub struct InFlight {
    inner: Arc<Inner>,
}

struct Inner {
    options: InFlightOptions,
    state: Mutex<State>,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    bytes: usize,
    accounts: HashMap<Party, Account>,
    waiting: VecDeque<Waiter>,
    /// Numbers the waiters.
    last: u64,
}

#[derive(Clone, Copy, Default)]
struct Account {
    requests: u32,
    bytes: usize,
    waiting: u32,
}

struct Waiter {
    number: u64,
    party: Party,
    bytes: usize,
    granted: oneshot::Sender<()>,
}

impl InFlight {
    /// Nothing in flight.
    pub fn new(options: InFlightOptions, metrics: Metrics) -> Self {
        Self { inner: Arc::new(Inner { options, state: Mutex::default(), metrics }) }
    }

    /// Counts a request that is going to hold so many bytes at once, and waits until they are within its party's share and
    /// the whole. Does not wait when the tenant has as many requests as it may: a queue of those would only move the pile.
    ///
    /// More bytes than the share are taken for the share. Dropping the future takes the request back.
    pub async fn enter(&self, party: Party, bytes: usize) -> Result<Entered, Crowded> {
        let (entered, turn) = self.begin(party, bytes).ok_or(Crowded::Requests)?;
        let Some(turn) = turn else { return Ok(entered) };
        match tokio::time::timeout(self.inner.options.wait, turn).await {
            // The sender lives as long as the request is among the waiters.
            Ok(_granted) => Ok(entered),
            Err(_elapsed) => {
                self.inner.metrics.limiter.decided(LimitKind::Bytes, LimitSource::Local, false);
                Err(self.obstacle(&entered))
            }
        }
    }

    fn obstacle(&self, waiting: &Entered) -> Crowded {
        let state = self.inner.state.lock();
        let held = state.accounts.get(&waiting.party).map_or(0, |account| account.bytes);
        if held + waiting.bytes > self.inner.options.share { Crowded::Share } else { Crowded::Whole }
    }

    fn begin(&self, party: Party, bytes: usize) -> Option<(Entered, Option<oneshot::Receiver<()>>)> {
        let Inner { options, state, metrics } = &*self.inner;
        let bytes = bytes.min(options.share);
        let mut state = state.lock();
        let account = state.accounts.entry(party).or_default();
        if let Party::Tenant(_) = party {
            let granted = account.requests < options.requests;
            metrics.limiter.decided(LimitKind::Concurrency, LimitSource::Local, granted);
            if !granted {
                return None;
            }
        }
        account.requests += 1;
        let entered =
            |number| Entered { party, bytes, is_request: true, number, inner: Arc::clone(&self.inner) };
        if state.waiting.is_empty() && state.fits(options, party, bytes) {
            state.take(party, bytes);
            self.inner.tell(&state);
            return Some((entered(None), None));
        }
        let (granted, turn) = oneshot::channel();
        state.last += 1;
        let number = state.last;
        state.waiting.push_back(Waiter { number, party, bytes, granted });
        state.accounts.entry(party).or_default().waiting += 1;
        state.grant(options);
        self.inner.tell(&state);
        let entered = entered(Some(number));
        drop(state);
        Some((entered, Some(turn)))
    }

    /// How many requests of a tenant are in flight.
    pub fn requests(&self, tenant: TenantId) -> u32 {
        let state = self.inner.state.lock();
        state.accounts.get(&Party::Tenant(tenant)).map_or(0, |account| account.requests)
    }

    /// How many bytes are in flight.
    pub fn bytes(&self) -> usize {
        self.inner.state.lock().bytes
    }
}

impl Inner {
    fn tell(&self, state: &State) {
        self.metrics.limiter.bytes_in_flight.set(i64::try_from(state.bytes).unwrap_or(i64::MAX));
    }
}

impl State {
    fn fits(&self, options: &InFlightOptions, party: Party, bytes: usize) -> bool {
        let held = self.accounts.get(&party).map_or(0, |account| account.bytes);
        held + bytes <= options.share && self.bytes + bytes <= options.whole
    }

    fn take(&mut self, party: Party, bytes: usize) {
        self.bytes += bytes;
        self.accounts.entry(party).or_default().bytes += bytes;
    }

    fn give_back(&mut self, party: Party, bytes: usize, requests: u32) {
        self.bytes -= bytes;
        if let Entry::Occupied(mut entry) = self.accounts.entry(party) {
            let account = entry.get_mut();
            account.bytes -= bytes;
            account.requests -= requests;
            if (account.bytes, account.requests, account.waiting) == (0, 0, 0) {
                entry.remove();
            }
        }
    }

    /// Lets in whichever waiters fit. Of each party the first alone is looked at; where the whole is the obstacle, the party
    /// that holds least is waited for, however much others could still take.
    fn grant(&mut self, options: &InFlightOptions) {
        while let Some(index) = self.next(options) {
            let Some(waiter) = self.waiting.get(index) else { return };
            let (party, bytes) = (waiter.party, waiter.bytes);
            if self.bytes + bytes > options.whole {
                return;
            }
            self.take(party, bytes);
            if let Some(waiter) = self.waiting.remove(index) {
                if let Some(account) = self.accounts.get_mut(&party) {
                    account.waiting -= 1;
                }
                // One that has just gone away gives the bytes back when it is dropped.
                let _gone = waiter.granted.send(());
            }
        }
    }

    /// The first waiter of the party that holds least, among the parties whose first waiter is within its share.
    fn next(&self, options: &InFlightOptions) -> Option<usize> {
        let mut seen = HashSet::new();
        let first_of_each = self.waiting.iter().enumerate().filter(|(_, waiter)| seen.insert(waiter.party));
        let held = |party| self.accounts.get(&party).map_or(0, |account: &Account| account.bytes);
        let within = first_of_each.filter(|(_, waiter)| held(waiter.party) + waiter.bytes <= options.share);
        within.min_by_key(|(_, waiter)| held(waiter.party)).map(|(index, _)| index)
    }
}

/// A request in flight and its bytes, given back when dropped.
#[must_use = "the request counts as answered when this is dropped"]
pub struct Entered {
    party: Party,
    bytes: usize,
    /// Whether it counts as a request still, or its bytes alone do.
    is_request: bool,
    /// Its number among the waiters, if it had to wait.
    number: Option<u64>,
    inner: Arc<Inner>,
}

impl Entered {
    /// Takes so many bytes more, if they fit right now. Never waits: what waits while it holds bytes could wait for ever.
    #[must_use = "the bytes may not be used unless they were granted"]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let mut state = self.inner.state.lock();
        let fits = state.fits(&self.inner.options, self.party, bytes);
        if fits {
            state.take(self.party, bytes);
            self.bytes += bytes;
            // It may no longer be the party that holds least, which others wait for.
            state.grant(&self.inner.options);
            self.inner.tell(&state);
        }
        fits
    }

    /// The request is answered: only the answer's bytes count from here on.
    pub fn answered(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        let mut state = self.inner.state.lock();
        state.give_back(self.party, surplus, u32::from(std::mem::take(&mut self.is_request)));
        self.bytes -= surplus;
        state.grant(&self.inner.options);
        self.inner.tell(&state);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut state = self.inner.state.lock();
        let number = self.number;
        let waits =
            number.and_then(|_| state.waiting.iter().position(|waiter| Some(waiter.number) == number));
        // What is still among the waiters was granted nothing.
        let bytes = match waits {
            Some(index) => {
                state.waiting.remove(index);
                state.accounts.entry(self.party).or_default().waiting -= 1;
                0
            }
            None => self.bytes,
        };
        state.give_back(self.party, bytes, u32::from(self.is_request));
        if !state.waiting.is_empty() {
            state.grant(&self.inner.options);
        }
        self.inner.tell(&state);
    }
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entered({:?}, {} bytes)", self.party, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    fn party(number: u128) -> Party {
        Party::Tenant(tenant(number))
    }

    fn in_flight(requests: u32, share: usize, whole: usize) -> InFlight {
        InFlight::new(
            InFlightOptions { requests, share, whole, wait: Duration::from_secs(1) },
            Metrics::new().unwrap(),
        )
    }

    fn now<T>(future: impl Future<Output = Result<T, Crowded>>) -> Option<T> {
        future.now_or_never()?.ok()
    }

    #[test]
    fn a_tenant_has_as_many_requests_in_flight_as_it_may_and_others_have_theirs() {
        let accounts = in_flight(2, 10, 20);
        let (one, two) = (now(accounts.enter(party(1), 0)), now(accounts.enter(party(1), 0)));
        assert!(one.is_some() && two.is_some() && now(accounts.enter(party(1), 0)).is_none());
        assert!(now(accounts.enter(party(2), 0)).is_some());
        drop(one);
        assert_eq!(accounts.requests(tenant(1)), 1);
        assert!(now(accounts.enter(party(1), 0)).is_some());
    }

    #[test]
    fn nothing_is_kept_of_tenants_without_requests_in_flight() {
        let accounts = in_flight(1, 10, 20);
        for number in 0..10_000 {
            let entered = now(accounts.enter(party(number), 3));
            assert!(entered.is_some() && now(accounts.enter(party(number), 0)).is_none());
        }
        assert!(accounts.inner.state.lock().accounts.is_empty());
    }

    #[tokio::test]
    async fn a_tenant_over_its_share_waits_for_its_own_and_for_nobody_else() {
        let accounts = in_flight(9, 10, 20);
        let first = now(accounts.enter(party(1), 8)).unwrap();
        let mut second = Box::pin(accounts.enter(party(1), 8));
        let mut third = Box::pin(accounts.enter(party(1), 1));
        assert!(second.as_mut().now_or_never().is_none(), "it is over its share");
        assert!(third.as_mut().now_or_never().is_none(), "it comes behind the second");
        assert!(now(accounts.enter(party(2), 10)).is_some(), "a neighbour does not notice");
        drop(first);
        assert!(second.now_or_never().is_some() && third.now_or_never().is_some());
        assert_eq!(accounts.bytes(), 0);
    }

    #[tokio::test]
    async fn when_all_is_taken_the_one_that_holds_least_comes_first() {
        let accounts = in_flight(9, 10, 20);
        let held = [1, 2].map(|number| now(accounts.enter(party(number), 9)).unwrap());
        let small = now(accounts.enter(party(1), 1)).unwrap();
        let mut third = Box::pin(accounts.enter(party(3), 5));
        let mut again = Box::pin(accounts.enter(party(2), 1));
        assert!(third.as_mut().now_or_never().is_none() && again.as_mut().now_or_never().is_none());
        drop(small);
        assert!(third.as_mut().now_or_never().is_none(), "there are 2 bytes");
        assert!(again.as_mut().now_or_never().is_none(), "and they are kept for the third");
        let [first, _second] = held;
        drop(first);
        assert!(third.now_or_never().is_some() && again.now_or_never().is_some());
    }

    #[test]
    fn an_answer_is_counted_until_it_is_dropped_and_no_longer_as_a_request() {
        let accounts = in_flight(1, 10, 20);
        let mut entered = now(accounts.enter(party(1), 10)).unwrap();
        assert!(!entered.grow(1));
        entered.answered(4);
        assert_eq!((accounts.requests(tenant(1)), accounts.bytes()), (0, 4));
        assert!(entered.grow(6) && !entered.grow(1));
        drop(entered);
        assert_eq!(accounts.bytes(), 0);
    }

    #[tokio::test]
    async fn a_request_larger_than_the_share_is_served_alone() {
        let accounts = in_flight(9, 10, 20);
        let huge = now(accounts.enter(party(1), 1_000)).unwrap();
        assert!(now(accounts.enter(party(1), 1)).is_none());
        drop(huge);
        assert_eq!(accounts.bytes(), 0);
    }

    #[tokio::test]
    async fn operators_have_a_share_like_a_tenant_and_no_number() {
        let accounts = in_flight(1, 10, 20);
        let held = [(); 2].map(|()| now(accounts.enter(Party::Operators, 5)).unwrap());
        assert!(now(accounts.enter(Party::Operators, 1)).is_none());
        assert!(now(accounts.enter(party(1), 10)).is_some());
        drop(held);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_too_long_is_told_whose_bytes_were_in_the_way() {
        let accounts = in_flight(1, 10, 20);
        let first = accounts.enter(party(1), 10).await.unwrap();
        assert_eq!(accounts.enter(party(1), 0).await.unwrap_err(), Crowded::Requests);
        let operators = accounts.enter(Party::Operators, 8).await.unwrap();
        assert_eq!(accounts.enter(Party::Operators, 3).await.unwrap_err(), Crowded::Share);
        assert_eq!(accounts.enter(party(2), 3).await.unwrap_err(), Crowded::Whole);
        drop((first, operators));
        assert_eq!(accounts.bytes(), 0);
    }

    /// Requests come, wait, go away while they wait, grow, are answered.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Come(u128, usize),
        GoAway(usize),
        Answer(usize, usize),
        Grow(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_u128, 0..12_usize).prop_map(|(party, bytes)| Step::Come(party, bytes)),
            2 => (0..64_usize).prop_map(Step::GoAway),
            1 => (0..64_usize, 0..12_usize).prop_map(|(index, bytes)| Step::Answer(index, bytes)),
            1 => (0..64_usize, 0..4_usize).prop_map(|(index, bytes)| Step::Grow(index, bytes)),
        ]
    }

    proptest! {
        #[test]
        fn shares_and_the_whole_hold_whatever_happens_and_nobody_is_forgotten(
            steps in prop::collection::vec(step(), 0..200)
        ) {
            let accounts = in_flight(5, 10, 20);
            let mut flying = Vec::new();
            for step in steps {
                match step {
                    Step::Come(number, bytes) => {
                        if let Some((entered, turn)) = accounts.begin(party(number), bytes) {
                            flying.push((entered, turn));
                        }
                    }
                    Step::GoAway(index) if !flying.is_empty() => drop(flying.swap_remove(index % flying.len())),
                    Step::Answer(index, bytes) if !flying.is_empty() => {
                        let index = index % flying.len();
                        let (entered, turn) = &mut flying[index];
                        if turn.as_mut().is_none_or(|turn| turn.try_recv().is_ok()) {
                            *turn = None;
                            entered.answered(bytes);
                        }
                    }
                    Step::Grow(index, bytes) if !flying.is_empty() => {
                        let index = index % flying.len();
                        let (entered, turn) = &mut flying[index];
                        if turn.as_mut().is_none_or(|turn| turn.try_recv().is_ok()) {
                            *turn = None;
                            let _ = entered.grow(bytes);
                        }
                    }
                    Step::GoAway(_) | Step::Answer(..) | Step::Grow(..) => {}
                }
                let state = accounts.inner.state.lock();
                prop_assert!(state.bytes <= 20);
                prop_assert!(state.accounts.values().all(|account| account.bytes <= 10 && account.requests <= 5));
                prop_assert_eq!(state.bytes, state.accounts.values().map(|account| account.bytes).sum::<usize>());
                // Whichever waiter could be let in has been.
                let next = state.next(&accounts.inner.options);
                prop_assert!(next.is_none_or(|index| state.bytes + state.waiting[index].bytes > 20));
            }
            drop(flying);
            let state = accounts.inner.state.lock();
            prop_assert!(state.accounts.is_empty() && state.waiting.is_empty() && state.bytes == 0);
        }
    }
}
