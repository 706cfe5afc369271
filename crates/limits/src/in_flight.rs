//! What each party has in flight: requests, and the bytes that they hold in memory.
//!
//! A token bucket does not keep slow requests from piling up; this does. Counted per process, because what it protects
//! (connections, threads, memory) is the process's. A party may have a number of requests in flight, and a share of
//! the bytes that is below the whole. A request that needs bytes beyond its party's share waits until the party gives
//! bytes back, and holds no other party up. When the whole is taken, the party that holds least comes first. Keeps an
//! account of each party that has something in flight, and nothing of the others. Callers say how many bytes, and are
//! to say it before the memory is used.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use bulkhead_domain::{Network, TenantId};
use bulkhead_telemetry::{
    Metrics,
    metrics::{LimitKind, LimitSource},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// A tenant, whose principals send the request.
    Tenant(TenantId),
    /// All operators together.
    Operators,
    /// The address of a request that shows no credential, or whose credential is in its body.
    Address(Network),
}

/// What may be in flight in a process.
#[derive(Clone, Copy, Debug)]
pub struct InFlightOptions {
    /// Requests of one party.
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
    /// Its party has as many requests in flight as it may.
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
    /// The parties whose first waiter is within their share, by what they hold and that waiter's number.
    next: BTreeMap<(usize, u64), Party>,
    /// The number of the last waiter.
    last: u64,
}

#[derive(Default)]
struct Account {
    requests: u32,
    bytes: usize,
    waiting: VecDeque<Waiter>,
    /// Its key in [`State::next`].
    listed: Option<(usize, u64)>,
}

struct Waiter {
    number: u64,
    bytes: usize,
    granted: oneshot::Sender<()>,
}

impl InFlight {
    /// Nothing in flight.
    pub fn new(options: InFlightOptions, metrics: Metrics) -> Self {
        Self { inner: Arc::new(Inner { options, state: Mutex::default(), metrics }) }
    }

    /// Counts a request that is going to hold so many bytes at once, and waits until they are within its party's share and
    /// the whole. Does not wait when the party has as many requests as it may: a queue of those would only move the pile.
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
        if state.held(waiting.party) + waiting.bytes > self.inner.options.share {
            Crowded::Share
        } else {
            Crowded::Whole
        }
    }

    fn begin(&self, party: Party, bytes: usize) -> Option<(Entered, Option<oneshot::Receiver<()>>)> {
        let Inner { options, state, metrics } = &*self.inner;
        let bytes = bytes.min(options.share);
        let mut state = state.lock();
        let account = state.accounts.entry(party).or_default();
        let granted = account.requests < options.requests;
        metrics.limiter.decided(LimitKind::Concurrency, LimitSource::Local, granted);
        if !granted {
            return None;
        }
        account.requests += 1;
        let waits = !account.waiting.is_empty();
        let entered =
            |number| Entered { party, bytes, is_request: true, number, inner: Arc::clone(&self.inner) };
        if !waits && state.next.is_empty() && state.fits(options, party, bytes) {
            state.take(party, bytes);
            self.inner.tell(&state);
            return Some((entered(None), None));
        }
        let (granted, turn) = oneshot::channel();
        state.last += 1;
        let number = state.last;
        state.accounts.entry(party).or_default().waiting.push_back(Waiter { number, bytes, granted });
        state.list(options, party);
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
        self.held(party) + bytes <= options.share && self.bytes + bytes <= options.whole
    }

    fn held(&self, party: Party) -> usize {
        self.accounts.get(&party).map_or(0, |account| account.bytes)
    }

    /// Takes a waiter out of its party's queue. Returns whether it was in there.
    fn leave(&mut self, party: Party, number: u64) -> bool {
        let Some(account) = self.accounts.get_mut(&party) else { return false };
        let index = account.waiting.iter().position(|waiter| waiter.number == number);
        index.and_then(|index| account.waiting.remove(index)).is_some()
    }

    fn take(&mut self, party: Party, bytes: usize) {
        self.bytes += bytes;
        self.accounts.entry(party).or_default().bytes += bytes;
    }

    /// Takes bytes and requests back, and forgets a party that has nothing left.
    fn give_back(&mut self, options: &InFlightOptions, party: Party, bytes: usize, requests: u32) {
        self.bytes -= bytes;
        let Some(account) = self.accounts.get_mut(&party) else { return };
        account.bytes -= bytes;
        account.requests -= requests;
        let is_needed = account.bytes > 0 || account.requests > 0;
        self.list(options, party);
        if !is_needed {
            self.accounts.remove(&party);
        }
    }

    /// Brings the party's place in [`State::next`] up to date: what it holds, and its first waiter.
    fn list(&mut self, options: &InFlightOptions, party: Party) {
        let Some(account) = self.accounts.get_mut(&party) else { return };
        let first = account.waiting.front().filter(|first| account.bytes + first.bytes <= options.share);
        let listed = first.map(|first| (account.bytes, first.number));
        let before = std::mem::replace(&mut account.listed, listed);
        if before != listed {
            if let Some(before) = before {
                self.next.remove(&before);
            }
            if let Some(listed) = listed {
                self.next.insert(listed, party);
            }
        }
    }

    /// Lets in the waiters that fit. Of each party only the first is looked at. When too little of the whole is left
    /// for the party that holds least, no other party is let in before it, even if its request would fit.
    fn grant(&mut self, options: &InFlightOptions) {
        while let Some((_, party)) = self.next.first_key_value() {
            let party = *party;
            let Some(account) = self.accounts.get_mut(&party) else { return };
            let whole = options.whole.saturating_sub(self.bytes);
            let Some(waiter) = account.waiting.pop_front_if(|waiter| waiter.bytes <= whole) else { return };
            self.take(party, waiter.bytes);
            self.list(options, party);
            // A request that has just gone away gives the bytes back when it is dropped.
            let _gone = waiter.granted.send(());
        }
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
    /// Takes so many bytes more, if they fit right now; otherwise the error says which bound they exceed. Never waits:
    /// a request that waits while it holds bytes could wait for ever.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Crowded> {
        let mut state = self.inner.state.lock();
        let options = &self.inner.options;
        if !state.fits(options, self.party, bytes) {
            let is_share = state.held(self.party) + bytes > options.share;
            return Err(if is_share { Crowded::Share } else { Crowded::Whole });
        }
        state.take(self.party, bytes);
        self.bytes += bytes;
        // This party may no longer be the one that holds least, for which other parties wait.
        state.list(options, self.party);
        state.grant(options);
        self.inner.tell(&state);
        Ok(())
    }

    /// Notes that the request is answered: from here on only the bytes of its answer count, be they more or fewer than
    /// it held.
    pub fn answered(&mut self, bytes: usize) {
        let mut state = self.inner.state.lock();
        let options = &self.inner.options;
        // The answer is in memory, whatever the shares are.
        state.take(self.party, bytes);
        let requests = u32::from(std::mem::take(&mut self.is_request));
        state.give_back(options, self.party, std::mem::replace(&mut self.bytes, bytes), requests);
        state.grant(options);
        self.inner.tell(&state);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut state = self.inner.state.lock();
        // A request that is still among the waiters was granted no bytes.
        let was_waiting = self.number.is_some_and(|number| state.leave(self.party, number));
        let bytes = if was_waiting { 0 } else { self.bytes };
        state.give_back(&self.inner.options, self.party, bytes, u32::from(self.is_request));
        state.grant(&self.inner.options);
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

    #[tokio::test]
    async fn an_answer_is_counted_until_it_is_dropped_and_no_longer_as_a_request() {
        let accounts = in_flight(1, 10, 20);
        let mut entered = now(accounts.enter(party(1), 10)).unwrap();
        assert_eq!(entered.grow(1), Err(Crowded::Share));
        entered.answered(4);
        assert_eq!((accounts.requests(tenant(1)), accounts.bytes()), (0, 4));
        assert!(entered.grow(6).is_ok() && entered.grow(1).is_err());
        entered.answered(15);
        assert_eq!(accounts.bytes(), 15, "an answer that is larger than was thought counts as what it is");
        assert!(now(accounts.enter(party(1), 0)).is_none() && now(accounts.enter(party(2), 5)).is_some());
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
    async fn operators_and_addresses_have_shares_like_a_tenant() {
        let address = Network::of("192.0.2.1".parse().unwrap());
        for other in [Party::Operators, Party::Address(address)] {
            let accounts = in_flight(3, 10, 20);
            let held = [(); 2].map(|()| now(accounts.enter(other, 5)).unwrap());
            assert!(now(accounts.enter(other, 1)).is_none());
            assert!(now(accounts.enter(party(1), 10)).is_some());
            drop(held);
            let held = [(); 3].map(|()| now(accounts.enter(other, 0)).unwrap());
            assert!(now(accounts.enter(other, 0)).is_none(), "it has as many requests as it may");
            drop(held);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_too_long_is_told_whose_bytes_were_in_the_way() {
        let accounts = in_flight(2, 10, 20);
        let first = accounts.enter(party(1), 10).await.unwrap();
        let second = accounts.enter(party(1), 0).await.unwrap();
        assert_eq!(accounts.enter(party(1), 0).await.unwrap_err(), Crowded::Requests);
        drop(second);
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
                            entered.answered(bytes.min(entered.bytes));
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
                // Whichever waiter could be let in has been: of the parties whose first is within their share, the one
                // that holds least.
                let firsts = state.accounts.values().filter_map(|account| Some((account.bytes, account.waiting.front()?)));
                let next = firsts.filter(|(held, first)| held + first.bytes <= 10).min_by_key(|(held, first)| (*held, first.number));
                prop_assert!(next.is_none_or(|(_, first)| state.bytes + first.bytes > 20));
            }
            drop(flying);
            let state = accounts.inner.state.lock();
            prop_assert!(state.accounts.is_empty() && state.next.is_empty() && state.bytes == 0);
        }
    }
}
