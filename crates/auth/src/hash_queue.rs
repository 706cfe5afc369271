//! The order in which passwords are hashed, and in which accounts are looked up before that.
//!
//! Hashing a password is expensive on purpose, so few hashes run at once. Owns the waiting for it. There are four
//! lanes, each with places of its own, and they take turns: operators who log in, people who log in from an address
//! that they have logged in from before, all others who log in, and principals who create people or tenants. Inside a
//! lane tenants take turns, too. When a lane is full, the tenant that has the most waiting gives up its last place to
//! a tenant that has fewer. So no tenant and no import of users keeps others from logging in, and neither does a
//! stranger with one address or one IPv6 site (a /48). A stranger with many addresses can fill the lane of those who
//! have not logged in from where they are; people who come back have a lane of their own.
//!
//! Refuses to queue without bound: a caller that finds no place is told at once.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
};

use bulkhead_domain::Network;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Why a password is to be hashed. Each reason has a lane of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// An operator logs in.
    Operators,
    /// A person logs in to an account from an address that it was logged in to from before.
    Returning,
    /// A person logs in from any other address.
    Logins,
    /// A verified principal stores a new password.
    Creations,
}

const LANES: usize = 4;

impl Lane {
    /// How many may wait.
    const fn places(self) -> usize {
        match self {
            Self::Operators => 16,
            Self::Returning | Self::Logins => 64,
            Self::Creations => 32,
        }
    }

    /// How many of those may come from one address. Addresses are not counted for principals that were verified, nor
    /// for people who come back to an address: all people of a company can share one.
    const fn places_of_one_address(self) -> usize {
        match self {
            Self::Operators => 4,
            Self::Logins => 16,
            Self::Returning | Self::Creations => usize::MAX,
        }
    }

    /// How many of those may come from one IPv6 site, which may be a single customer's: half of the places.
    const fn places_of_one_site(self) -> usize {
        match self {
            Self::Operators | Self::Logins => self.places() / 2,
            Self::Returning | Self::Creations => usize::MAX,
        }
    }

    /// How many of the `slots` hashes that run at once may be of this lane. One slot is kept from principals that are
    /// logged in already. Where there is only one slot, their lane takes its turns like the others.
    fn slots(self, slots: usize) -> usize {
        match self {
            Self::Creations => slots.saturating_sub(1).max(1),
            Self::Operators | Self::Returning | Self::Logins => slots,
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// What decides when a caller's turn comes.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The lane in which the caller waits.
    pub lane: Lane,
    /// The group that takes turns with others in the lane: a tenant, as a number that tells it from others.
    pub group: u128,
    /// The caller's network; `None` when the places of a network are not limited.
    pub network: Option<Network>,
}

/// The caller has no place: as many are waiting as may wait, or another tenant was given the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The queue. Clones share it.
#[derive(Clone)]
pub(crate) struct HashQueue {
    inner: Arc<Inner>,
}

struct Inner {
    slots: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    lanes: [LaneState; LANES],
    /// The lane whose turn it is.
    next: usize,
    /// The id of the last waiter. Ids tell waiters apart.
    last_id: u64,
}

#[derive(Default)]
struct LaneState {
    running: usize,
    waiting: usize,
    /// Never holds a group without waiters.
    groups: HashMap<u128, VecDeque<Waiter>>,
    /// The groups, in the order of their turns.
    order: VecDeque<u128>,
}

struct Waiter {
    id: u64,
    network: Option<Network>,
    /// Hands the waiter its slot. It is dropped without a slot when the waiter loses its place.
    wake: oneshot::Sender<Slot>,
}

/// The right to hash once. It is given back when it is dropped, so it is moved to the thread that does the work.
pub(crate) struct Slot {
    inner: Arc<Inner>,
    lane: Lane,
}

impl HashQueue {
    /// Lets `slots` hashes run at once, and one at least.
    pub(crate) fn new(slots: usize) -> Self {
        Self { inner: Arc::new(Inner { slots: slots.max(1), state: Mutex::default() }) }
    }

    /// How many run at once.
    pub(crate) fn slots(&self) -> usize {
        self.inner.slots
    }

    /// Waits for a turn. A caller that goes away gives its place back. [`Full`] when there is no place for the turn,
    /// or when another tenant is given the place meanwhile.
    pub(crate) async fn wait(&self, turn: Turn) -> Result<Slot, Full> {
        let (id, woken) = self.inner.queue_up(turn)?;
        let place = Place { inner: &self.inner, turn, id };
        self.inner.dispatch();
        let slot = woken.await.map_err(|_pushed_out| Full);
        drop(place);
        slot
    }

    /// Whether [`Self::wait`] would refuse this turn at once. Asked before work that would be wasted then.
    pub(crate) fn is_full(&self, turn: Turn) -> bool {
        !self.inner.state.lock().lane(turn.lane).has_room(turn)
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.inner.state.lock();
        (state.running, state.lanes.iter().map(|lane| lane.waiting).sum())
    }
}

impl fmt::Debug for HashQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashQueue({} slots)", self.inner.slots)
    }
}

impl Inner {
    fn queue_up(&self, turn: Turn) -> Result<(u64, oneshot::Receiver<Slot>), Full> {
        let (wake, woken) = oneshot::channel();
        let mut state = self.state.lock();
        state.last_id += 1;
        let id = state.last_id;
        let lane = state.lane_mut(turn.lane);
        if !lane.has_room(turn) {
            return Err(Full);
        }
        if lane.waiting >= turn.lane.places() {
            lane.push_out();
        }
        let waiting = lane.groups.entry(turn.group).or_default();
        if waiting.is_empty() {
            lane.order.push_back(turn.group);
        }
        waiting.push_back(Waiter { id, network: turn.network, wake });
        lane.waiting += 1;
        Ok((id, woken))
    }

    /// Gives free slots to the waiters whose turn it is.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let Some((lane, waiter)) = self.state.lock().take_turn(self.slots) else { return };
            // The slot is sent outside of the lock: when its waiter has gone, the slot is dropped here, and its drop
            // takes the lock to give it back.
            let _nobody_waits_for_it = waiter.wake.send(Slot { inner: Arc::clone(self), lane });
        }
    }
}

impl State {
    fn lane(&self, lane: Lane) -> &LaneState {
        let [operators, returning, logins, creations] = &self.lanes;
        match lane {
            Lane::Operators => operators,
            Lane::Returning => returning,
            Lane::Logins => logins,
            Lane::Creations => creations,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut LaneState {
        let [operators, returning, logins, creations] = &mut self.lanes;
        match lane {
            Lane::Operators => operators,
            Lane::Returning => returning,
            Lane::Logins => logins,
            Lane::Creations => creations,
        }
    }

    /// Takes a free slot for the next waiter.
    fn take_turn(&mut self, slots: usize) -> Option<(Lane, Waiter)> {
        if self.running >= slots {
            return None;
        }
        let all = [Lane::Operators, Lane::Returning, Lane::Logins, Lane::Creations];
        let first = self.next;
        for lane in all.into_iter().cycle().skip(first).take(LANES) {
            let state = self.lane_mut(lane);
            if state.running >= lane.slots(slots) {
                continue;
            }
            if let Some(waiter) = state.pop() {
                state.running += 1;
                self.running += 1;
                self.next = (lane.index() + 1) % LANES;
                return Some((lane, waiter));
            }
        }
        None
    }
}

impl LaneState {
    /// Whether one more caller can wait, if need be in the place of another.
    fn has_room(&self, turn: Turn) -> bool {
        if let Some(network) = turn.network {
            let networks = || self.groups.values().flatten().filter_map(|waiter| waiter.network);
            let of_its_address = networks().filter(|other| *other == network).count();
            if of_its_address >= turn.lane.places_of_one_address() {
                return false;
            }
            let of_its_site = |site| networks().filter(|other| other.site() == Some(site)).count();
            if network.site().is_some_and(|site| of_its_site(site) >= turn.lane.places_of_one_site()) {
                return false;
            }
        }
        if self.waiting < turn.lane.places() {
            return true;
        }
        let own = self.groups.get(&turn.group).map_or(0, VecDeque::len);
        // The largest group gives up a place only if it still has no fewer waiters than this group then.
        self.largest().is_some_and(|(_, most)| most > own + 1)
    }

    fn largest(&self) -> Option<(u128, usize)> {
        self.groups.iter().map(|(group, waiting)| (*group, waiting.len())).max_by_key(|(_, waiting)| *waiting)
    }

    /// Refuses the last waiter of the largest group.
    fn push_out(&mut self) {
        if let Some((group, _)) = self.largest()
            && let Some(last) = self.groups.get(&group).and_then(|waiting| waiting.back()).map(|last| last.id)
        {
            self.remove(group, last);
        }
    }

    /// Takes the next waiter of the group whose turn it is.
    fn pop(&mut self) -> Option<Waiter> {
        let group = self.order.pop_front()?;
        let waiting = self.groups.get_mut(&group)?;
        let waiter = waiting.pop_front()?;
        if waiting.is_empty() {
            self.groups.remove(&group);
        } else {
            self.order.push_back(group);
        }
        self.waiting -= 1;
        Some(waiter)
    }

    fn remove(&mut self, group: u128, id: u64) {
        let Some(waiting) = self.groups.get_mut(&group) else { return };
        let before = waiting.len();
        waiting.retain(|waiter| waiter.id != id);
        self.waiting -= before - waiting.len();
        if waiting.is_empty() {
            self.groups.remove(&group);
            self.order.retain(|other| *other != group);
        }
    }
}

/// A place in the queue, given back when its holder goes away. After the turn has come there is no place left to give
/// back.
struct Place<'a> {
    inner: &'a Arc<Inner>,
    turn: Turn,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.inner.state.lock().lane_mut(self.turn.lane).remove(self.turn.group, self.id);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut state = self.inner.state.lock();
            state.running -= 1;
            state.lane_mut(self.lane).running -= 1;
        }
        self.inner.dispatch();
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({:?})", self.lane)
    }
}

#[cfg(test)]
mod tests;
