//! What a thread of the API has served, on its way out of the process.
//!
//! Every thread has its own recorder: its own name (a new one at every start), its own numbers, its own connection. A
//! record is folded into the open batch without leaving the thread; when the flush before it has returned, the open
//! batch is sealed and sent, with the records of all requests that were finished meanwhile: natural group commit, without
//! a timer. The rules are in the crate's documentation.

mod flusher;
mod ledger;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bulkhead_db::{Authority, Db, DbError, platform::usage};
use bulkhead_domain::{
    TenantId,
    usage::{StatusClass, UsageBatch, UsageDelta},
};
use bulkhead_telemetry::Metrics;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{codec, server::RedisServer};
use flusher::{APPLY_AT_ONCE, Flusher};

/// How a recorder behaves.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// The name of this node, for people who look into the tables: 1 to 64 visible ASCII characters.
    pub node: String,
    /// How long an answer waits for its record to be stored.
    pub wait: Duration,
    /// Entries in the stream beyond which batches go to PostgreSQL directly.
    pub stream_max: u64,
    /// Unconfirmed bytes beyond which batches are applied directly.
    pub buffer_bytes: usize,
    /// Age beyond which an unconfirmed batch is applied directly.
    pub buffer_age: Duration,
    /// Age beyond which an unconfirmed batch is looked for in the stream, and appended again when it is not there.
    pub resend_after: Duration,
    /// How often PostgreSQL is asked what it has applied.
    pub confirm_every: Duration,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            node: "local".to_owned(),
            wait: Duration::from_secs(1),
            stream_max: 100_000,
            buffer_bytes: 16 << 20,
            buffer_age: Duration::from_secs(30),
            resend_after: Duration::from_secs(10),
            confirm_every: Duration::from_millis(1_500),
        }
    }
}

/// Whether a record was stored before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored outside this process.
    Stored,
    /// Neither Redis nor PostgreSQL took it in time. It is kept in this process and will be stored as soon as one of them
    /// does.
    Unsafe,
}

/// Records what a thread serves.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    wait: Duration,
    open: Mutex<Open>,
    /// Wakes the flusher.
    wake: Notify,
    stop: watch::Sender<bool>,
    /// What the flusher had not seen confirmed when it ended.
    left: watch::Sender<Option<Vec<UsageBatch>>>,
}

/// The batch that is being filled.
#[derive(Default)]
struct Open {
    slots: HashMap<Slot, UsageDelta>,
    signal: Arc<Signal>,
}

/// What [`bulkhead_domain::usage::UsageKey`] says, without an allocation per request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Slot {
    tenant: TenantId,
    route: &'static str,
    status: StatusClass,
    minute: u32,
}

impl Recorder {
    /// A recorder, and the future that does its work. The future is to be run on the same thread, for as long as the
    /// process lives; it ends after [`Recorder::shutdown`]. `db` and `redis` are the thread's own.
    pub fn new(
        options: RecorderOptions,
        db: Db,
        redis: RedisServer,
        metrics: Metrics,
    ) -> (Self, impl Future<Output = ()>) {
        let shared = Arc::new(Shared {
            wait: options.wait,
            open: Mutex::default(),
            wake: Notify::new(),
            stop: watch::Sender::new(false),
            left: watch::Sender::new(None),
        });
        let flusher = Flusher::new(Arc::clone(&shared), options, db, redis, metrics);
        (Self { shared }, flusher.run())
    }

    /// Counts a request that is about to be answered. From here on it is counted, whatever becomes of the caller. Await
    /// [`Ticket::flushed`] before the answer is sent.
    ///
    /// `route` must be one of the API's own names (visible ASCII, at most 128 bytes); `started_at` fixes the minute, and
    /// so the billing period.
    pub fn record(
        &self,
        tenant: TenantId,
        route: &'static str,
        status: StatusClass,
        started_at: DateTime<Utc>,
        delta: &UsageDelta,
    ) -> Ticket {
        let minute = u32::try_from(started_at.timestamp().div_euclid(60)).unwrap_or_default();
        let slot = Slot { tenant, route, status, minute };
        let signal = {
            let mut open = self.shared.open.lock();
            open.slots.entry(slot).or_default().merge(&codec::clamp(delta));
            Arc::clone(&open.signal)
        };
        self.shared.wake.notify_one();
        Ticket { signal, wait: self.shared.wait }
    }

    /// Stores everything in PostgreSQL through `db`, for at most `limit`; how many batches could not be. Call it when the
    /// last request has been answered, on whichever thread is left: the recorder's own may have ended by then.
    pub async fn shutdown(&self, db: &Db, limit: Duration) -> usize {
        let deadline = Instant::now() + limit;
        self.shared.stop.send_replace(true);
        let mut handed_over = self.shared.left.subscribe();
        if tokio::time::timeout(limit, handed_over.wait_for(Option::is_some)).await.is_err() {
            return self.shared.open.lock().slots.len().max(1);
        }
        let mut left = self.shared.left.send_replace(Some(Vec::new())).unwrap_or_default();
        while !left.is_empty() {
            let some = left.get(..left.len().min(APPLY_AT_ONCE)).unwrap_or_default();
            let work = async |tx: &mut _| usage::apply(tx, some.iter()).await;
            let applied: Result<_, DbError> = db.platform_write(Authority::machinery(), work).await;
            match applied {
                Ok(_) => drop(left.drain(..left.len().min(APPLY_AT_ONCE))),
                Err(error) if Instant::now() < deadline => {
                    tracing::warn!(%error, "usage could not be stored in PostgreSQL; it will be tried again");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => {
                    tracing::error!(%error, batches = left.len(), "the process ends before PostgreSQL has taken all usage");
                    break;
                }
            }
        }
        left.len()
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({} open keys)", self.shared.open.lock().slots.len())
    }
}

/// The promise that a record will be stored. Dropping it does not take the record back.
#[derive(Debug)]
#[must_use = "the answer must wait until its usage is stored"]
pub struct Ticket {
    signal: Arc<Signal>,
    wait: Duration,
}

impl Ticket {
    /// Waits until the batch that holds the record is stored outside this process, or it is clear that it cannot be now.
    pub async fn flushed(self) -> Outcome {
        let told = self.signal.told.notified();
        let mut told = std::pin::pin!(told);
        // Enrolled before looking, so that what is told in between is not missed.
        told.as_mut().enable();
        if let Some(outcome) = self.signal.outcome() {
            return outcome;
        }
        match tokio::time::timeout(self.wait, told).await {
            Ok(()) => self.signal.outcome().unwrap_or(Outcome::Unsafe),
            Err(_elapsed) => Outcome::Unsafe,
        }
    }
}

/// What became of one open batch, for all who wait for it.
#[derive(Debug, Default)]
struct Signal {
    state: AtomicU8,
    told: Notify,
}

impl Signal {
    const STORED: u8 = 1;
    const UNSAFE: u8 = 2;

    fn outcome(&self) -> Option<Outcome> {
        match self.state.load(Ordering::Acquire) {
            Self::STORED => Some(Outcome::Stored),
            Self::UNSAFE => Some(Outcome::Unsafe),
            _ => None,
        }
    }

    fn tell(&self, outcome: Outcome) {
        let state = match outcome {
            Outcome::Stored => Self::STORED,
            Outcome::Unsafe => Self::UNSAFE,
        };
        self.state.store(state, Ordering::Release);
        self.told.notify_waiters();
    }
}
