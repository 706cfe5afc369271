//! The work of the flusher's thread: it sends sealed batches out and sees to it that none is forgotten.
//!
//! Two loops in one task. The first flushes: answers wait for it, so it waits only for the answer of Redis or
//! PostgreSQL to the batches at hand. The second maintains: it mends the connection, asks which batches are confirmed,
//! and rescues those that are not.
//!
//! The flusher calls a record unsafe on evidence alone: after the record was put down Redis was asked and did not take
//! it, and PostgreSQL was asked and refused it or did not answer a login. A time-out that says more about this process
//! than about a server is no evidence.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bulkhead_domain::{
    Mac,
    metering::{BatchId, UsageBatch},
};
use bulkhead_link::Backoff;
use bulkhead_telemetry::{Metrics, metrics::UsagePath};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use uuid::Uuid;

use super::{
    FlusherOptions, Order, Stores,
    ledger::Ledger,
    linger::Linger,
    link::Link,
    rollups::{MOST_KEYS, Rollups, Trouble, share},
};
use crate::{
    codec::MAX_KEYS,
    recorder::{Counted, Desk, Outcome, Waiting},
};

/// Entries that are looked for in the stream at a time.
const LOOKED_FOR_AT_ONCE: usize = 200;
/// Batches forgotten at a time: so few that flushing does not wait for thousands to be dropped.
const FORGET_AT_ONCE: usize = 200;
/// The pause before PostgreSQL, which answers, is asked once more.
const AGAIN: Duration = Duration::from_millis(100);
/// The time from one batch to the next while PostgreSQL has confirmed too few: what is recorded meanwhile shares a batch.
const SPARING: Duration = Duration::from_millis(200);

pub(super) struct Work {
    desk: Arc<Desk>,
    options: FlusherOptions,
    recorder_id: Uuid,
    last_seq: Cell<u64>,
    /// The lowest number that the flushing loop is busy with; what is below is for the maintenance.
    in_flight: Cell<u64>,
    /// When the last batch was made.
    flushed_at: Cell<Option<Instant>>,
    metrics: Metrics,
    linger: Linger,
    /// The batches and bytes that the gauges show.
    reported: Cell<(i64, i64)>,
    ledger: RefCell<Ledger>,
    link: Link,
    rollups: Rollups,
    /// When neither server took anything, how often in a row, and when to ask them again.
    no_store: RefCell<Backoff>,
}

impl Work {
    pub(super) fn new(
        desk: Arc<Desk>,
        options: FlusherOptions,
        stores: Stores,
        mac: Arc<dyn Mac>,
        metrics: Metrics,
    ) -> Self {
        let Stores { db, postgres, redis } = stores;
        Self {
            desk,
            recorder_id: Uuid::now_v7(),
            last_seq: Cell::new(0),
            in_flight: Cell::new(u64::MAX),
            flushed_at: Cell::default(),
            linger: Linger::default(),
            reported: Cell::default(),
            ledger: RefCell::default(),
            link: Link::new(redis, mac, metrics.clone()),
            rollups: Rollups::new(db, postgres, options.postgres_silence),
            no_store: RefCell::new(Backoff::new(Duration::from_millis(50), Duration::from_secs(1))),
            metrics,
            options,
        }
    }

    /// Works until it is told to stop. Returns how many batches are left then.
    pub(super) async fn run(self, orders: &mut watch::Receiver<Order>) -> usize {
        let work = async { futures::join!(self.flush_for_ever(), self.maintain_for_ever()) };
        tokio::select! {
            ((), ()) = work => {}
            // An error means that the sender of orders is gone, so no order can come any more.
            _told = orders.wait_for(|order| !matches!(order, Order::Work)) => {}
        }
        let order = *orders.borrow();
        if let Order::Finish(deadline) = order {
            self.finish(deadline).await;
        }
        self.ledger.borrow().len()
    }

    async fn flush_for_ever(&self) {
        loop {
            self.desk.wake.notified().await;
            while !self.desk.is_empty() {
                self.spare_memory().await;
                if let Some(asked) = self.await_store().await {
                    // The thread is the flusher's alone, and the runtime's timers tell no less than a millisecond.
                    self.linger.wait(|| self.desk.has_enough(), |longest| self.desk.gather(longest));
                    self.flush_batch(asked).await;
                }
            }
        }
    }

    /// Makes batches seldom while the ledger is over its bound. It cannot forget what PostgreSQL has not confirmed, so all
    /// it can do is to grow slowly.
    async fn spare_memory(&self) {
        if self.ledger.borrow().bytes() > self.options.buffer_bytes
            && let Some(at) = self.flushed_at.get()
        {
            sleep_until(at + SPARING).await;
        }
    }

    /// While neither server takes anything, asks both after a pause whether one does again; at other times it returns
    /// at once. `None` when neither does: the requests whose records had been put down before the servers were asked
    /// have been told that these are unsafe. When one does, those requests are returned, to be told with the batch
    /// that takes their records.
    ///
    /// Until then records stay in the open batch, where those of a minute share a place. Batches that were numbered
    /// already must stay as they are, for a server may have taken them without this process hearing of it.
    async fn await_store(&self) -> Option<Waiting> {
        let Some(until) = self.no_store.borrow().until() else { return Some(Waiting::default()) };
        sleep_until(until).await;
        let asked = self.desk.take_waiting();
        if self.is_a_store_back().await {
            return Some(asked);
        }
        self.no_store.borrow_mut().failed();
        asked.tell(Outcome::NotDurable);
        None
    }

    /// Stores the records that have been put down, and tells the requests that wait for them; `asked` are those that
    /// have been waiting already.
    async fn flush_batch(&self, asked: Waiting) {
        self.flushed_at.set(Some(Instant::now()));
        self.in_flight.set(self.last_seq.get() + 1);
        let (counted, waiting) = self.desk.take();
        let waiting = waiting.and(asked);
        let batches = self.number(counted);
        self.keep(&batches);
        let outcome = self.store(&batches).await;
        self.in_flight.set(u64::MAX);
        if outcome == Outcome::Stored {
            self.no_store.borrow_mut().succeeded();
        } else {
            self.no_store.borrow_mut().failed();
        }
        waiting.tell(outcome);
    }

    /// Usually one batch; more when there are more keys than an entry may have.
    fn number(&self, Counted { entries, quantities }: Counted) -> Vec<Rc<UsageBatch>> {
        let (mut entries, mut quantities) = (entries.into_iter(), quantities.into_iter());
        let mut batches = vec![];
        while entries.len() + quantities.len() > 0 {
            let seq = self.last_seq.get() + 1;
            self.last_seq.set(seq);
            let entries: Vec<_> = entries.by_ref().take(MAX_KEYS).collect();
            let quantities = quantities.by_ref().take(MAX_KEYS - entries.len()).collect();
            let id = BatchId { recorder_id: self.recorder_id, seq };
            let node = self.options.node.clone();
            batches.push(Rc::new(UsageBatch { id, node, entries, quantities }));
        }
        batches
    }

    /// Keeps batches until PostgreSQL has them.
    fn keep(&self, batches: &[Rc<UsageBatch>]) {
        let mut ledger = self.ledger.borrow_mut();
        for batch in batches {
            ledger.keep(Rc::clone(batch));
        }
    }

    /// Whether Redis or PostgreSQL takes usage again; asked side by side, after neither did.
    async fn is_a_store_back(&self) -> bool {
        let postgres = async {
            // The batches that PostgreSQL was asked to take last show best whether it takes any.
            let pending = self.ledger.borrow().oldest(u64::MAX);
            match self.apply(&pending).await {
                Ok(()) if !pending.is_empty() => true,
                Err(Trouble::Certain) => false,
                Ok(()) | Err(Trouble::Unclear) => self.rollups.is_there().await,
            }
        };
        let (redis, postgres) = futures::join!(self.link.look(), postgres);
        redis || postgres
    }

    /// Stores batches outside this process: in the stream, or where that cannot be, in the rollups. A stream that is full
    /// is the last resort.
    async fn store(&self, batches: &[Rc<UsageBatch>]) -> Outcome {
        let mut rest = batches;
        while !rest.is_empty() {
            let (some, others) = rest.split_at(share(rest, MOST_KEYS));
            if self.store_some(some).await == Outcome::NotDurable {
                return Outcome::NotDurable;
            }
            rest = others;
        }
        Outcome::Stored
    }

    async fn store_some(&self, batches: &[Rc<UsageBatch>]) -> Outcome {
        loop {
            let is_full = self.link.length() >= self.options.stream_max;
            if !is_full && self.append(batches, UsagePath::Stream).await {
                return Outcome::Stored;
            }
            let Err(trouble) = self.apply(batches).await else { return Outcome::Stored };
            // Redis may have come back since it was lost, so it is asked before its pause is over, too.
            if self.link.look().await && self.append(batches, UsagePath::Stream).await {
                return Outcome::Stored;
            }
            if matches!(trouble, Trouble::Certain) || !self.rollups.is_there().await {
                return Outcome::NotDurable;
            }
            sleep(AGAIN).await;
        }
    }

    /// Appends to the stream. Returns whether that is known to have happened.
    async fn append(&self, batches: &[Rc<UsageBatch>], path: UsagePath) -> bool {
        let Some(entries) = self.link.append(batches).await else { return false };
        let mut ledger = self.ledger.borrow_mut();
        for (batch, entry) in batches.iter().zip(entries) {
            ledger.sent(batch.id.seq, entry);
            self.metrics.usage.sent(path);
        }
        true
    }

    /// Adds to the rollups.
    async fn apply(&self, batches: &[Rc<UsageBatch>]) -> Result<(), Trouble> {
        let applied = async |batches: &[Rc<UsageBatch>]| {
            for _ in batches {
                self.metrics.usage.sent(UsagePath::Direct);
            }
            let entries: Vec<String> = {
                let mut ledger = self.ledger.borrow_mut();
                batches.iter().filter_map(|batch| ledger.applied(batch.id.seq)).collect()
            };
            self.link.delete(&entries).await;
        };
        // On the heap, for it is large and seldom needed.
        Box::pin(self.rollups.apply(batches, applied)).await
    }

    async fn maintain_for_ever(&self) {
        loop {
            self.link.mend().await;
            let held = self.ledger.borrow().span(self.in_flight.get());
            self.confirm(held).await;
            self.rescue().await;
            self.report();
            tokio::select! {
                () = sleep_until(self.next_maintenance()) => {}
                () = self.link.lost.notified() => {}
            }
        }
    }

    fn next_maintenance(&self) -> Instant {
        let usual = Instant::now() + self.options.confirm_every;
        self.link.next_try().map_or(usual, |until| until.min(usual))
    }

    /// Forgets the batches from the first to the last of these numbers that PostgreSQL has applied. Returns whether it
    /// could be asked.
    async fn confirm(&self, span: Option<(u64, u64)>) -> bool {
        let Some((first, last)) = span else { return true };
        let first = BatchId { recorder_id: self.recorder_id, seq: first };
        let Some(confirmed) = self.rollups.confirmed(first, last).await else { return false };
        for seqs in confirmed {
            while self.ledger.borrow_mut().forget_some(&seqs, FORGET_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
        true
    }

    /// Moves batches on that are stuck. Without Redis, all of them go to PostgreSQL. With Redis, those that are not in
    /// the stream go into the stream, and those that are too old or too many to PostgreSQL.
    async fn rescue(&self) {
        let is_stuck = || {
            let ledger = self.ledger.borrow();
            !self.link.is_there()
                || ledger.bytes() > self.options.buffer_bytes
                || ledger.is_older_than(self.options.buffer_age)
        };
        while is_stuck() && self.rollups.is_ready() {
            let batches = self.ledger.borrow().oldest(self.in_flight.get());
            if batches.is_empty() || self.apply(&batches).await.is_err() {
                break;
            }
        }
        self.send_again().await;
    }

    /// Appends batches that the stream does not hold. An entry is missing because the worker has applied and deleted
    /// it, or because Redis has lost it, or because the worker did not believe that it is ours. PostgreSQL knows
    /// whether it was applied, when it is asked after the entry was missed.
    async fn send_again(&self) {
        let overdue = self.ledger.borrow().overdue(self.options.resend_after, LOOKED_FOR_AT_ONCE);
        let (seqs, entries): (Vec<u64>, Vec<String>) = overdue.into_iter().unzip();
        let Some(missing) = self.link.missing(&entries).await else { return };
        let missing: Vec<u64> = missing.into_iter().filter_map(|place| seqs.get(place).copied()).collect();
        // They come in order.
        let span = missing.first().copied().zip(missing.last().copied());
        if !self.confirm(span).await {
            return;
        }
        for seq in missing {
            self.ledger.borrow_mut().lost(seq);
        }
        let unsent = self.ledger.borrow().unsent(self.in_flight.get());
        if !unsent.is_empty() {
            self.append(&unsent, UsagePath::Resent).await;
        }
    }

    /// Applies everything until the deadline.
    async fn finish(&self, deadline: Instant) {
        let (counted, waiting) = self.desk.close();
        self.keep(&self.number(counted));
        let applying = async {
            loop {
                let batches = self.ledger.borrow().oldest(u64::MAX);
                if batches.is_empty() {
                    return;
                }
                if self.apply(&batches).await.is_err() {
                    sleep(AGAIN).await;
                }
            }
        };
        if timeout_at(deadline, applying).await.is_ok() {
            waiting.tell(Outcome::Stored);
        } else {
            let batches = self.ledger.borrow().len();
            tracing::error!(batches, "the process ends before PostgreSQL has taken all usage");
        }
    }

    /// Brings the gauges up to date.
    fn report(&self) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let now = {
            let ledger = self.ledger.borrow();
            (count(ledger.len()), count(ledger.bytes()))
        };
        let before = self.reported.replace(now);
        self.metrics.usage.in_flight.add(now.0 - before.0);
        self.metrics.usage.buffer_bytes.add(now.1 - before.1);
    }
}

impl Drop for Work {
    /// However the thread ends, no request goes on waiting: those that still do are told that their records are
    /// unsafe.
    fn drop(&mut self) {
        drop(self.desk.close());
        *self.ledger.get_mut() = Ledger::default();
        self.report();
    }
}
