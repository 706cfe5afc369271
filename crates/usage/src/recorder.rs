//! Usage as the threads that serve requests see it: they put records down, and wait until these are stored.
//!
//! Owns the batch that is being filled, and what became of it. One batch is filled by all threads of the process, so a
//! tenant's requests of a minute are one entry, whichever threads served them. Refuses to judge whether a record is
//! safe: only the flusher knows what Redis and PostgreSQL have said (`flusher.rs`).

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bulkhead_domain::{
    TenantId,
    metering::{MeterKey, MeterName, Quantity, RequestStats, StatusClass, UsageKey},
};
use chrono::{DateTime, Utc};
use parking_lot::{Condvar, Mutex};
use tokio::{sync::Notify, time::timeout};

use crate::codec;

/// Whether a record was stored before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored outside this process.
    Stored,
    /// The flusher has not said yet what became of it, and the answer may not wait for ever. It is with the flusher,
    /// which will store it: usually PostgreSQL is there and slow, and Redis is away.
    Late,
    /// Neither Redis nor PostgreSQL took it, each having been asked. It is kept in this process and will be stored as soon
    /// as one of them does. Or the flusher has ended, and it is kept nowhere.
    NotDurable,
}

/// Records what a process serves. Clones record into the same batch, from any thread.
#[derive(Clone)]
pub struct Recorder {
    desk: Arc<Desk>,
    longest_wait: Duration,
}

impl Recorder {
    pub(crate) const fn new(desk: Arc<Desk>, longest_wait: Duration) -> Self {
        Self { desk, longest_wait }
    }

    /// Announces that a request is under way that is going to be recorded, so that its record may share a batch with
    /// those that are answered a moment before it.
    pub fn expect(&self) -> Expected {
        self.desk.expected.fetch_add(1, Ordering::Relaxed);
        Expected { desk: Arc::clone(&self.desk) }
    }

    /// Counts a request that is about to be answered. From here on it is counted, whatever becomes of the caller.
    /// Await [`Ticket::durable`] before the answer is sent. After the flusher's end nothing is counted: no thread
    /// would store it.
    ///
    /// `route` must be one of the API's own names (visible ASCII, at most 128 bytes); `started_at` fixes the minute, and
    /// so the billing period. `counted` is what the request has counted beside itself, each in its meter's unit; most
    /// requests count nothing.
    pub fn record(
        &self,
        tenant: TenantId,
        route: &'static str,
        status: StatusClass,
        started_at: DateTime<Utc>,
        stats: &RequestStats,
        counted: &[(MeterName, Quantity)],
    ) -> Ticket {
        let minute = u32::try_from(started_at.timestamp().div_euclid(60)).unwrap_or_default();
        let slot = Slot { tenant, route, status, minute };
        let (signal, is_enough) = {
            let mut open = self.desk.open.lock();
            if !open.closed {
                open.slots.entry(slot).or_default().merge(&codec::clamp(stats));
                for (meter, quantity) in counted {
                    let sum = open.quantities.entry((tenant, *meter, minute)).or_default();
                    *sum += u128::from(quantity.in_thousandths());
                }
                open.records += 1;
            }
            (Arc::clone(&open.signal), self.desk.is_enough(&open))
        };
        self.desk.wake.notify_one();
        if is_enough {
            self.desk.enough.notify_one();
        }
        Ticket { signal, longest_wait: self.longest_wait }
    }
}

/// A request under way that is going to be recorded. Drop it when the request is recorded, or will not be.
#[must_use = "the flusher waits for the request's record until this is dropped"]
pub struct Expected {
    desk: Arc<Desk>,
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expected")
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.desk.expected.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({} open keys)", self.desk.open.lock().slots.len())
    }
}

/// The promise that a record will be stored. Dropping it does not take the record back.
#[derive(Debug)]
#[must_use = "the answer must wait until its usage is stored"]
pub struct Ticket {
    signal: Arc<Signal>,
    longest_wait: Duration,
}

impl Ticket {
    /// Waits until the flusher says what became of the batch that holds the record, or the longest wait is over. That the
    /// flusher has said nothing is no evidence that the record is unsafe: it may be about to be stored.
    pub async fn durable(self) -> Outcome {
        let told = self.signal.told.notified();
        let mut told = std::pin::pin!(told);
        // The waiter is registered before the outcome is looked at, so that an outcome in between is not missed.
        told.as_mut().enable();
        if self.signal.outcome().is_none() {
            // How the wait ended does not count: the outcome may have been told while this thread did not run.
            let _ended = timeout(self.longest_wait, told).await;
        }
        self.signal.outcome().unwrap_or(Outcome::Late)
    }
}

/// Where recorders put records down and the flusher picks them up.
#[derive(Default)]
pub(crate) struct Desk {
    open: Mutex<Open>,
    /// Wakes the flusher.
    pub(crate) wake: Notify,
    /// Ends the flusher's waiting for more records.
    enough: Condvar,
    /// Requests under way that are going to be recorded.
    expected: AtomicUsize,
}

/// The batch that is being filled.
#[derive(Default)]
struct Open {
    slots: Slots,
    /// In thousandths of the meter's unit.
    quantities: Quantities,
    /// How many records are in the slots.
    records: usize,
    signal: Arc<Signal>,
    /// Whether the flusher has ended.
    closed: bool,
}

type Slots = HashMap<Slot, RequestStats>;

/// By tenant, meter and minute.
type Quantities = HashMap<(TenantId, MeterName, u32), u128>;

/// What was put down.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) entries: Vec<(UsageKey, RequestStats)>,
    pub(crate) quantities: Vec<(MeterKey, u128)>,
}

/// What [`UsageKey`] says, without an allocation per request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Slot {
    tenant: TenantId,
    route: &'static str,
    status: StatusClass,
    minute: u32,
}

impl Desk {
    /// Whether the open batch has company enough: as many records as are yet to come. Those then share the next batch, and
    /// requests that are sent as soon as the one before is answered go in two batches by turns.
    fn is_enough(&self, open: &Open) -> bool {
        open.records >= self.expected.load(Ordering::Relaxed)
    }

    /// Whether the flusher need not wait for more records.
    pub(crate) fn has_enough(&self) -> bool {
        self.is_enough(&self.open.lock())
    }

    /// Blocks until the batch has company enough, for at most `longest`. Returns whether any record came.
    pub(crate) fn gather(&self, longest: Duration) -> bool {
        let mut open = self.open.lock();
        let before = open.records;
        let _timed_out = self.enough.wait_while_for(&mut open, |open| !self.is_enough(open), longest);
        open.records > before
    }

    /// Whether no record waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.lock().slots.is_empty()
    }

    /// Takes all records, and the requests that wait for them.
    pub(crate) fn take(&self) -> (Counted, Waiting) {
        let (taken, signal) = self.open.lock().take();
        (named(taken), Waiting(vec![signal]))
    }

    /// Takes the waiting requests and leaves their records, which then go with the next batch.
    pub(crate) fn take_waiting(&self) -> Waiting {
        Waiting(vec![self.open.lock().next_signal()])
    }

    /// Takes all records for the last time. From now on no record is kept, and each request that records is told at
    /// once that its record is unsafe.
    pub(crate) fn close(&self) -> (Counted, Waiting) {
        let (taken, signal) = {
            let mut open = self.open.lock();
            open.closed = true;
            open.take()
        };
        (named(taken), Waiting(vec![signal]))
    }
}

impl Open {
    fn take(&mut self) -> ((Slots, Quantities), Arc<Signal>) {
        // As much room as was needed, so that filling the next batch does not grow it step by step.
        let room = Slots::with_capacity(self.slots.len());
        let more = Quantities::with_capacity(self.quantities.len());
        self.records = 0;
        let taken = (std::mem::replace(&mut self.slots, room), std::mem::replace(&mut self.quantities, more));
        (taken, self.next_signal())
    }

    fn next_signal(&mut self) -> Arc<Signal> {
        let next = Arc::<Signal>::default();
        if self.closed {
            next.tell(Outcome::NotDurable);
        }
        std::mem::replace(&mut self.signal, next)
    }
}

fn named((slots, quantities): (Slots, Quantities)) -> Counted {
    let entry = |(slot, stats)| {
        let Slot { tenant, route, status, minute } = slot;
        (UsageKey { tenant, route: route.to_owned(), status, minute }, stats)
    };
    let quantity = |((tenant, meter, minute), milli): ((TenantId, MeterName, u32), u128)| {
        (MeterKey { tenant, meter: meter.into(), minute }, milli)
    };
    Counted {
        entries: slots.into_iter().map(entry).collect(),
        quantities: quantities.into_iter().map(quantity).collect(),
    }
}

/// Requests that wait for the same outcome. When this is dropped without one, the outcome is [`Outcome::NotDurable`]: the
/// flusher has ended half-way.
#[derive(Default)]
pub(crate) struct Waiting(Vec<Arc<Signal>>);

impl Waiting {
    /// These requests, and others whose records go with theirs.
    pub(crate) fn and(mut self, mut others: Self) -> Self {
        self.0.append(&mut others.0);
        self
    }

    /// Says what became of their records.
    pub(crate) fn tell(self, outcome: Outcome) {
        for signal in &self.0 {
            signal.tell(outcome);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for signal in &self.0 {
            signal.tell(Outcome::NotDurable);
        }
    }
}

/// What became of one batch, for all requests that wait for it. The first outcome counts.
#[derive(Debug, Default)]
struct Signal {
    state: AtomicU8,
    told: Notify,
}

impl Signal {
    const OPEN: u8 = 0;
    const STORED: u8 = 1;
    const UNSAFE: u8 = 2;

    fn outcome(&self) -> Option<Outcome> {
        match self.state.load(Ordering::Acquire) {
            Self::STORED => Some(Outcome::Stored),
            Self::UNSAFE => Some(Outcome::NotDurable),
            _ => None,
        }
    }

    fn tell(&self, outcome: Outcome) {
        let state = match outcome {
            // Late is what a ticket concludes by itself after its longest wait; the flusher does not say it.
            Outcome::Late => return,
            Outcome::Stored => Self::STORED,
            Outcome::NotDurable => Self::UNSAFE,
        };
        if self.state.compare_exchange(Self::OPEN, state, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.told.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::{Clock as _, SystemClock};
    use uuid::Uuid;

    use super::*;

    const PAGES: MeterName = MeterName::new("pages_printed");

    fn desk() -> (Arc<Desk>, Recorder) {
        let desk = Arc::new(Desk::default());
        (Arc::clone(&desk), Recorder::new(desk, Duration::from_secs(10)))
    }

    fn record(recorder: &Recorder) -> Ticket {
        let stats = RequestStats { requests: 1, ..RequestStats::default() };
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        recorder.record(
            tenant,
            "get_me",
            StatusClass::of(200),
            SystemClock.now(),
            &stats,
            &[(PAGES, Quantity::ONE)],
        )
    }

    #[tokio::test]
    async fn the_first_word_about_a_batch_counts_for_all_its_records() {
        let (desk, recorder) = desk();
        let (first, second) = (record(&recorder), record(&recorder));
        let (counted, waiting) = desk.take();
        assert_eq!(counted.entries.iter().map(|(_, stats)| stats.requests).sum::<u64>(), 2);
        assert_eq!(counted.quantities.iter().map(|(_, milli)| milli).sum::<u128>(), 2_000);
        let later = record(&recorder);
        waiting.tell(Outcome::Stored);
        assert_eq!((first.durable().await, second.durable().await), (Outcome::Stored, Outcome::Stored));
        assert!(!desk.is_empty());
        drop(desk.take_waiting());
        assert_eq!(later.durable().await, Outcome::NotDurable);
        assert!(!desk.is_empty(), "who waits was taken, the record was not");
    }

    #[test]
    fn a_batch_has_company_enough_when_it_holds_as_many_records_as_are_yet_to_come() {
        let (desk, recorder) = desk();
        let _first = record(&recorder);
        assert!(desk.has_enough(), "nothing is under way");
        let under_way = [recorder.expect(), recorder.expect()];
        assert!(!desk.has_enough());
        assert!(!desk.gather(Duration::from_micros(1)), "nothing came");
        let _second = record(&recorder);
        assert!(desk.has_enough(), "two are there and two are yet to come");
        drop(under_way);
    }

    #[test]
    fn the_record_that_makes_it_enough_ends_the_wait() {
        // So often that the wait has begun before the record in some rounds, and after it in others.
        for _ in 0..200 {
            let (desk, recorder) = desk();
            let _first = record(&recorder);
            let [second, third, _fourth] = [recorder.expect(), recorder.expect(), recorder.expect()];
            std::thread::scope(|scope| {
                let wait = scope.spawn(|| desk.gather(Duration::from_secs(3_600)));
                for under_way in [second, third] {
                    drop(under_way);
                    let _recorded = record(&recorder);
                }
                wait.join().unwrap();
            });
        }
    }

    #[tokio::test]
    async fn without_a_flusher_nobody_waits_and_nothing_is_kept() {
        let (desk, recorder) = desk();
        let before = record(&recorder);
        let (counted, waiting) = desk.close();
        assert_eq!((counted.entries.len(), counted.quantities.len()), (1, 1));
        drop(waiting);
        assert_eq!(
            (before.durable().await, record(&recorder).durable().await),
            (Outcome::NotDurable, Outcome::NotDurable)
        );
        assert!(desk.is_empty() && desk.take().0.quantities.is_empty(), "no flusher will ever take it");
    }

    #[tokio::test]
    async fn who_waited_before_is_told_with_the_batch_that_takes_the_records() {
        let (desk, recorder) = desk();
        let before = record(&recorder);
        let asked = desk.take_waiting();
        let after = record(&recorder);
        let (_counted, waiting) = desk.take();
        waiting.and(asked).tell(Outcome::Stored);
        assert_eq!((before.durable().await, after.durable().await), (Outcome::Stored, Outcome::Stored));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flusher_that_says_nothing_makes_an_answer_late_and_not_unsafe() {
        let (desk, recorder) = desk();
        let began = tokio::time::Instant::now();
        assert_eq!(record(&recorder).durable().await, Outcome::Late);
        assert!(began.elapsed() < Duration::from_secs(11), "one deadline, {:?}", began.elapsed());
        assert!(!desk.is_empty(), "the flusher may take it yet");
    }
}
