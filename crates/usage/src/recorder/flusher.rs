//! Sends sealed batches out and sees to it that none is forgotten.
//!
//! Two loops in one task. One flushes: it is what answers wait for, so it never waits for anything but the answer of
//! Redis or PostgreSQL to the batch at hand. The other maintains: it mends the connection, asks what is confirmed, and
//! rescues what is not.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bulkhead_db::{Authority, Db, DbError, platform::usage};
use bulkhead_domain::usage::{BatchId, UsageBatch, UsageDelta, UsageKey};
use bulkhead_telemetry::{
    Metrics,
    metrics::{RedisUse, UsagePath},
};
use redis::{RedisError, aio::MultiplexedConnection};
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

use super::{Open, Outcome, RecorderOptions, Shared, Signal, Slot, ledger::Ledger};
use crate::{backoff::Backoff, codec::MAX_KEYS, server::RedisServer, stream};

/// Batches that are applied directly in one transaction, sent again, or forgotten at a time.
pub(super) const APPLY_AT_ONCE: usize = 200;
const SEND_AT_ONCE: usize = 200;
/// So few that requests on the same thread do not wait for thousands to be dropped.
const FORGET_AT_ONCE: usize = 200;

pub(super) struct Flusher {
    shared: Arc<Shared>,
    options: RecorderOptions,
    boot: Uuid,
    last_seq: Cell<u64>,
    /// The lowest number that the flushing loop is busy with; what is below is for the maintenance.
    in_flight: Cell<u64>,
    db: Db,
    redis: RedisServer,
    metrics: Metrics,
    /// What the gauges, which all recorders of the process share, have been told of this one.
    told: Cell<(i64, i64)>,
    ledger: RefCell<Ledger>,
    /// `None` while Redis is away.
    connection: RefCell<Option<MultiplexedConnection>>,
    redis_pause: RefCell<Backoff>,
    postgres_pause: RefCell<Backoff>,
    /// Entries in the stream when it was last heard of.
    stream_length: Cell<u64>,
    /// Wakes the maintenance when Redis goes away: what only Redis had beside us must go to PostgreSQL now.
    alarm: Notify,
}

/// Batches to be stored together, and who waits for it.
struct Sealed {
    batches: Vec<Rc<UsageBatch>>,
    signal: Arc<Signal>,
}

impl Flusher {
    pub(super) fn new(
        shared: Arc<Shared>,
        options: RecorderOptions,
        db: Db,
        redis: RedisServer,
        metrics: Metrics,
    ) -> Self {
        let redis_pause = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        // Shorter: while it lasts and Redis is away, records are in this process alone.
        let postgres_pause = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        Self {
            shared,
            options,
            boot: Uuid::now_v7(),
            last_seq: Cell::new(0),
            in_flight: Cell::new(u64::MAX),
            db,
            redis,
            metrics,
            told: Cell::default(),
            ledger: RefCell::default(),
            connection: RefCell::new(None),
            redis_pause: RefCell::new(redis_pause),
            postgres_pause: RefCell::new(postgres_pause),
            stream_length: Cell::new(0),
            alarm: Notify::new(),
        }
    }

    /// Works until it is told to stop. What is left then is handed over when the flusher is dropped.
    pub(super) async fn run(self) {
        let mut stop = self.shared.stop.subscribe();
        let work = async { futures::join!(self.flush_for_ever(), self.maintain_for_ever()) };
        tokio::select! {
            ((), ()) = work => {}
            // An error means that nobody is left who could tell it.
            _told = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn flush_for_ever(&self) {
        loop {
            self.shared.wake.notified().await;
            while let Some(sealed) = self.seal() {
                let outcome = self.store(&sealed.batches).await;
                self.in_flight.set(u64::MAX);
                sealed.signal.tell(outcome);
            }
        }
    }

    /// Closes the open batch, if there is anything in it and anybody who might take it.
    ///
    /// While nobody takes anything, records stay in the open batch, where those of a minute share a place; batches that
    /// were numbered already must stay as they are, for they may have been taken without our hearing of it.
    fn seal(&self) -> Option<Sealed> {
        let mut open = self.shared.open.lock();
        if open.slots.is_empty() {
            return None;
        }
        if self.connection.borrow().is_none() && !self.postgres_pause.borrow().is_over() {
            std::mem::take(&mut open.signal).tell(Outcome::Unsafe);
            return None;
        }
        let signal = std::mem::take(&mut open.signal);
        self.in_flight.set(self.last_seq.get() + 1);
        let batches = self.number(&mut open);
        drop(open);
        let mut ledger = self.ledger.borrow_mut();
        for batch in &batches {
            ledger.keep(Rc::clone(batch));
        }
        Some(Sealed { batches, signal })
    }

    /// Usually one batch; more when there are more keys than an entry may have.
    fn number(&self, open: &mut Open) -> Vec<Rc<UsageBatch>> {
        let mut entries = open.slots.drain().map(named).peekable();
        let mut batches = vec![];
        while entries.peek().is_some() {
            let seq = self.last_seq.get() + 1;
            self.last_seq.set(seq);
            let entries = entries.by_ref().take(MAX_KEYS).collect();
            let id = BatchId { boot: self.boot, seq };
            batches.push(Rc::new(UsageBatch { id, node: self.options.node.clone(), entries }));
        }
        batches
    }

    /// Stores batches outside this process: in the stream, or where that cannot be, in the rollups. A stream that is full
    /// is the last resort.
    async fn store(&self, batches: &[Rc<UsageBatch>]) -> Outcome {
        let is_full = self.stream_length.get() >= self.options.stream_max;
        let stored = (!is_full && self.append(batches, UsagePath::Stream).await)
            || self.apply(batches).await
            || (is_full && self.append(batches, UsagePath::Stream).await);
        if stored { Outcome::Stored } else { Outcome::Unsafe }
    }

    /// Appends to the stream; whether that is known to have happened.
    async fn append(&self, batches: &[Rc<UsageBatch>], path: UsagePath) -> bool {
        let Some(mut connection) = self.connection.borrow().clone() else { return false };
        match stream::append(&mut connection, batches).await {
            Ok(entries) => {
                // The maintenance asks how long the stream is; until then each batch counts.
                self.stream_length.set(self.stream_length.get() + entries.len() as u64);
                let mut ledger = self.ledger.borrow_mut();
                for (batch, entry) in batches.iter().zip(entries) {
                    ledger.sent(batch.id.seq, entry);
                    self.metrics.usage.sent(path);
                }
                true
            }
            Err(error) => {
                self.redis_failed(&error);
                false
            }
        }
    }

    /// Adds to the rollups; whether that is known to have happened.
    async fn apply(&self, batches: &[Rc<UsageBatch>]) -> bool {
        let work = async |tx: &mut _| usage::apply(tx, batches.iter().map(Rc::as_ref)).await;
        let result: Result<_, DbError> = self.db.platform_write(Authority::machinery(), work).await;
        match result {
            Ok(_applied) => {
                self.postgres_pause.borrow_mut().succeeded();
                for _ in batches {
                    self.metrics.usage.sent(UsagePath::Direct);
                }
                let entries = self.settle(batches.iter().map(|batch| batch.id));
                self.delete(&entries).await;
                true
            }
            Err(error) => {
                self.postgres_pause.borrow_mut().failed();
                tracing::warn!(%error, "usage could not be stored in PostgreSQL; it will be tried again");
                false
            }
        }
    }

    /// Forgets batches that are in the rollups; where they lay in the stream.
    fn settle(&self, ids: impl IntoIterator<Item = BatchId>) -> Vec<String> {
        let mut ledger = self.ledger.borrow_mut();
        ids.into_iter().filter_map(|id| ledger.settled(id.seq)).collect()
    }

    /// Deletes entries that are in the rollups, so that the stream stays short without a worker. If it fails, the worker
    /// will find them applied.
    async fn delete(&self, entries: &[String]) {
        let connection = self.connection.borrow().clone();
        if let Some(mut connection) = connection.filter(|_| !entries.is_empty())
            && let Err(error) = stream::delete(&mut connection, entries).await
        {
            self.redis_failed(&error);
        }
    }

    fn redis_failed(&self, error: &RedisError) {
        self.metrics.redis.failed(RedisUse::Usage);
        let was_there = self.connection.borrow_mut().take().is_some();
        self.redis_pause.borrow_mut().failed();
        if was_there {
            tracing::warn!(%error, "Redis does not take usage; it goes to PostgreSQL until Redis is back");
            self.alarm.notify_one();
        }
    }

    async fn maintain_for_ever(&self) {
        loop {
            self.mend_connection().await;
            let held = self.ledger.borrow().span(self.in_flight.get());
            self.confirm(held).await;
            self.rescue().await;
            self.report();
            if !self.shared.open.lock().slots.is_empty() {
                self.shared.wake.notify_one();
            }
            tokio::select! {
                () = tokio::time::sleep_until(self.next_maintenance()) => {}
                () = self.alarm.notified() => {}
            }
        }
    }

    fn next_maintenance(&self) -> Instant {
        let usual = Instant::now() + self.options.confirm_every;
        let is_away = self.connection.borrow().is_none();
        self.redis_pause.borrow().until().filter(|_| is_away).map_or(usual, |until| until.min(usual))
    }

    /// Connects to Redis when it is away and its pause is over, and asks how long the stream is; that is also how a
    /// server that has frozen is noticed before an answer depends on it.
    async fn mend_connection(&self) {
        let connection = self.connection.borrow().clone();
        let connected = match connection {
            Some(connection) => Ok(connection),
            None if self.redis_pause.borrow().is_over() => self.redis.connect().await,
            None => return,
        };
        let asked = match connected {
            Ok(mut connection) => stream::length(&mut connection).await.map(|length| (connection, length)),
            Err(error) => Err(error),
        };
        match asked {
            Ok((connection, length)) => {
                self.stream_length.set(length);
                self.metrics.usage.stream_length.set(i64::try_from(length).unwrap_or(i64::MAX));
                self.redis_pause.borrow_mut().succeeded();
                *self.connection.borrow_mut() = Some(connection);
            }
            Err(error) => self.redis_failed(&error),
        }
    }

    /// Forgets what PostgreSQL has of the batches from the first to the last of these numbers; whether it could be asked.
    async fn confirm(&self, span: Option<(u64, u64)>) -> bool {
        let Some((first, last)) = span else { return true };
        let first = BatchId { boot: self.boot, seq: first };
        let ask = async |tx: &mut _| usage::confirmed(tx, first, last).await;
        match self.db.platform_read::<_, DbError>(Authority::machinery(), ask).await {
            Ok(confirmed) => {
                for seqs in confirmed {
                    while self.ledger.borrow_mut().settle_some(&seqs, FORGET_AT_ONCE) {
                        tokio::task::yield_now().await;
                    }
                }
                true
            }
            Err(error) => {
                tracing::debug!(%error, "could not ask which usage is applied");
                false
            }
        }
    }

    /// Moves on what is stuck. Without Redis, everything to PostgreSQL; with it, what is not in the stream into the
    /// stream, and what is too old or too much to PostgreSQL.
    async fn rescue(&self) {
        let is_stuck = || {
            let ledger = self.ledger.borrow();
            self.connection.borrow().is_none()
                || ledger.bytes() > self.options.buffer_bytes
                || ledger.is_older_than(self.options.buffer_age)
        };
        while is_stuck() && self.postgres_pause.borrow().is_over() {
            let batches = self.ledger.borrow().oldest(self.in_flight.get(), APPLY_AT_ONCE);
            if batches.is_empty() || !self.apply(&batches).await {
                break;
            }
        }
        self.send_again().await;
    }

    /// Appends what the stream does not hold. An entry is missing because the worker has applied and deleted it, or
    /// because Redis has lost it; PostgreSQL knows which, when it is asked after the entry was missed.
    async fn send_again(&self) {
        let Some(mut connection) = self.connection.borrow().clone() else { return };
        let overdue = self.ledger.borrow().overdue(self.options.resend_after, SEND_AT_ONCE);
        let (seqs, entries): (Vec<u64>, Vec<String>) = overdue.into_iter().unzip();
        match stream::missing(&mut connection, &entries).await {
            Ok(missing) => {
                let missing: Vec<u64> =
                    missing.into_iter().filter_map(|place| seqs.get(place).copied()).collect();
                // They come in order.
                let span = missing.first().copied().zip(missing.last().copied());
                if !self.confirm(span).await {
                    return;
                }
                let mut ledger = self.ledger.borrow_mut();
                for seq in missing {
                    ledger.lost(seq);
                }
            }
            Err(error) => return self.redis_failed(&error),
        }
        let unsent = self.ledger.borrow().unsent(self.in_flight.get(), SEND_AT_ONCE);
        if !unsent.is_empty() {
            self.append(&unsent, UsagePath::Resent).await;
        }
    }

    /// Brings the gauges up to date.
    fn report(&self) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let now = {
            let ledger = self.ledger.borrow();
            (count(ledger.len()), count(ledger.bytes()))
        };
        let before = self.told.replace(now);
        self.metrics.usage.in_flight.add(now.0 - before.0);
        self.metrics.usage.buffer_bytes.add(now.1 - before.1);
    }
}

impl Drop for Flusher {
    /// Hands over what PostgreSQL has not confirmed, whether the flusher was told to stop or the runtime that drove it
    /// has ended under it.
    fn drop(&mut self) {
        let mut left = {
            let mut open = self.shared.open.lock();
            std::mem::take(&mut open.signal).tell(Outcome::Unsafe);
            self.number(&mut open)
        };
        left.extend(self.ledger.borrow().oldest(u64::MAX, usize::MAX));
        *self.ledger.borrow_mut() = Ledger::default();
        self.report();
        let left = left.into_iter().map(|batch| UsageBatch::clone(&batch)).collect();
        self.shared.left.send_replace(Some(left));
    }
}

fn named((slot, delta): (Slot, UsageDelta)) -> (UsageKey, UsageDelta) {
    let Slot { tenant, route, status, minute } = slot;
    (UsageKey { tenant, route: route.to_owned(), status, minute }, delta)
}
