//! Connections, owned by the thread that uses them.
//!
//! A pool belongs to one runtime thread: its connections are opened and driven there, because waking another thread
//! costs more than a query. It has a fixed number of slots, each with at most one connection and a queue of the
//! transactions that wait for it. A tenant prefers one slot, so that few backends learn its tables and statements; its
//! transactions at the same time use further slots, up to its share. A transaction that has waited [`STEAL_AFTER`] for a
//! slot takes whichever is free first. A connection leaves its slot as a [`Lease`] and comes back only if it is known
//! to be clean; anything else is cancelled and dropped. Refuses to ask the server whether a connection still lives:
//! its driver knows when it has ended.
//!
//! Most transactions find a free connection, so a timer is set only where one has to be waited for.
//!
//! `share.rs` says how many of the connections one claimant may have, and makes a claimant that has used them up wait.

mod lease;
mod share;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bulkhead_domain::backoff;
use bulkhead_telemetry::metrics::{DropReason, Pool as PoolMetrics};
use diesel::connection::CacheSize;
use diesel_async::AsyncConnection as _;
use futures::{
    FutureExt as _,
    stream::{FuturesUnordered, StreamExt as _},
};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use lease::Lease;
pub use share::Shares;
pub(crate) use share::{Claimant, Side};
use share::{Right, Rights};

use crate::engine::{
    connect::{Connector, Opened, Timeouts},
    error::{DbError, DbResult},
    statement::Statements,
};

/// How long to wait for a certain slot before taking whichever is free first. A little waiting is cheaper than one more
/// backend that learns the tenant's tables and statements, in memory (each keeps them) as in time (each has to analyse
/// them). It is longer than a queue of short statements, and much shorter than a statement that holds up a slot may take.
const STEAL_AFTER: Duration = Duration::from_millis(50);

/// Pauses after a connection that could not be opened.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(3_200);

/// How a pool behaves.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// Connections at most. Fewer than the shares need are taken for as many as they need.
    pub connections: usize,
    /// What one claimant may have of them.
    pub shares: Shares,
    /// How long a connection may serve. Each draws its own age from the upper half of this, so that they do not all
    /// end at once. Age is what gives a backend's memory back: the catalog entries of every tenant it has touched.
    pub max_age: Duration,
    /// How many prepared statements a connection may hold; then it forgets them all.
    pub statements: usize,
    /// How long to wait for a connection to become free.
    pub wait: Duration,
    /// How long to wait for an answer before the connection is given up. A little more than the statement time-out,
    /// so that it only ends what the server itself cannot end any more.
    pub answer: Duration,
}

/// A thread's connections as one login role.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    connector: Connector,
    options: PoolOptions,
    /// What its connections begin with, once its first user has said so.
    timeouts: OnceLock<Timeouts>,
    slots: Vec<Slot>,
    rights: Rights,
    metrics: Option<PoolMetrics>,
    /// Failures in a row to connect; each makes the next attempts wait longer.
    failures: AtomicU32,
    closed_until: Mutex<Option<Instant>>,
}

struct Slot {
    index: usize,
    permit: Arc<Semaphore>,
    waiting: AtomicU32,
    /// On the heap, because a connection is large and changes hands some ten times in a transaction.
    idle: Mutex<Option<Box<Connection>>>,
}

impl Slot {
    fn new(index: usize) -> Self {
        let permit = Arc::new(Semaphore::new(1));
        Self { index, permit, waiting: AtomicU32::new(0), idle: Mutex::new(None) }
    }

    /// How many transactions use its connection or wait for it.
    fn pressure(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed) + u32::from(self.permit.available_permits() == 0)
    }

    /// The slot, if it is free.
    fn try_take(&self) -> Option<(&Self, OwnedSemaphorePermit)> {
        Some((self, Arc::clone(&self.permit).try_acquire_owned().ok()?))
    }

    async fn take(&self) -> DbResult<(&Self, OwnedSemaphorePermit)> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let permit = Arc::clone(&self.permit).acquire_owned().await.map_err(|_closed| DbError::Busy)?;
        Ok((self, permit))
    }
}

struct Connection {
    opened: Opened,
    retire_at: Instant,
    statements: Statements,
}

impl Connection {
    /// Forgets all prepared statements, here and on the server. They come back as they are needed.
    fn forget_statements(&mut self) {
        self.opened.pg.set_prepared_statement_cache_size(CacheSize::Disabled);
        self.opened.pg.set_prepared_statement_cache_size(CacheSize::Unbounded);
        self.statements.clear();
    }
}

impl Pool {
    /// A pool without connections; they are opened when first needed.
    pub fn new(connector: Connector, options: PoolOptions) -> Self {
        Self::build(connector, options, None)
    }

    /// A pool that counts what it does.
    pub fn measured(connector: Connector, options: PoolOptions, metrics: PoolMetrics) -> Self {
        Self::build(connector, options, Some(metrics))
    }

    fn build(connector: Connector, options: PoolOptions, metrics: Option<PoolMetrics>) -> Self {
        let connections = options.connections.max(options.shares.least_connections());
        let shared = Shared {
            connector,
            options,
            timeouts: OnceLock::new(),
            slots: (0..connections).map(Slot::new).collect(),
            rights: Rights::new(options.shares, connections),
            metrics,
            failures: AtomicU32::new(0),
            closed_until: Mutex::new(None),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Says with which time-outs its connections begin. The first call decides; a transaction that needs others sets them itself.
    pub(crate) fn begin_with(&self, timeouts: Timeouts) {
        self.shared.timeouts.get_or_init(|| timeouts);
    }

    /// What its connections begin with.
    pub(crate) fn session_timeouts(&self) -> Option<Timeouts> {
        self.shared.timeouts.get().copied()
    }

    /// How many connections it may have.
    pub(crate) fn connections(&self) -> usize {
        self.shared.slots.len()
    }

    /// How long to wait for an answer.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.shared.options.answer
    }

    /// Takes a connection. A tenant prefers its own slots; others take whichever is free.
    pub(crate) async fn lease(&self, claimant: Claimant) -> DbResult<Lease> {
        let started = tokio::time::Instant::now();
        let right = self.shared.right(claimant, started).await?;
        let (slot, permit) = self.shared.permit(claimant, right.at_once(), started).await?;
        let idle = slot.idle.lock().take();
        let connection = match idle.and_then(|idle| self.shared.reuse(idle)) {
            Some(connection) => connection,
            // Boxed, because it is rare and large, and the future of every request would hold it.
            None => Box::pin(self.shared.open()).await?,
        };
        if let Some(metrics) = &self.shared.metrics {
            metrics.waited(started.elapsed());
            metrics.in_use.inc();
        }
        Ok(Lease {
            connection: Some(connection),
            clean: true,
            retired: false,
            index: slot.index,
            shared: Arc::clone(&self.shared),
            _permit: permit,
            _right: right,
        })
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({:?}, {} slots)", self.shared.connector, self.shared.slots.len())
    }
}

/// Counts a waiter for as long as it waits, however the waiting ends.
struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// The right to have one connection more, for which is waited from `started` on.
    async fn right(&self, claimant: Claimant, started: tokio::time::Instant) -> DbResult<Right> {
        let mut right = std::pin::pin!(self.rights.acquire(claimant));
        if let Some(right) = right.as_mut().now_or_never() {
            return right;
        }
        let over_share =
            if matches!(claimant, Claimant::Tenant(_)) { DbError::OverShare } else { DbError::Busy };
        tokio::time::timeout_at(started + self.options.wait, right).await.unwrap_or(Err(over_share))
    }

    /// Waits for a slot, from `started` on. `at_once` is how many connections the claimant has, with the one it waits for.
    async fn permit(
        &self,
        claimant: Claimant,
        at_once: usize,
        started: tokio::time::Instant,
    ) -> DbResult<(&Slot, OwnedSemaphorePermit)> {
        let chosen = self.choose(claimant, at_once).ok_or(DbError::Busy)?;
        if let Some(permit) = chosen.try_take() {
            return Ok(permit);
        }
        let last = started + self.options.wait;
        let steal_at = (tokio::time::Instant::now() + STEAL_AFTER).min(last);
        // The transaction keeps its place in this queue while it waits for the other slots too.
        let mut own = std::pin::pin!(chosen.take());
        if let Ok(permit) = tokio::time::timeout_at(steal_at, own.as_mut()).await {
            return permit;
        }
        let others = self.slots.iter().filter(|slot| slot.index != chosen.index).map(Slot::take);
        let mut others: FuturesUnordered<_> = others.collect();
        let any = async {
            tokio::select! {
                permit = own => permit,
                Some(permit) = others.next() => permit,
            }
        };
        tokio::time::timeout_at(last, any).await.unwrap_or(Err(DbError::Busy))
    }

    /// The slot with the shortest queue. A tenant that has or wants `n` connections at once chooses among `n` slots, the first
    /// of which its id decides; other claimants choose among all.
    fn choose(&self, claimant: Claimant, at_once: usize) -> Option<&Slot> {
        let all = self.slots.len();
        let (own, some) = match claimant {
            Claimant::Tenant(hash) => {
                (usize::try_from(hash % all as u64).unwrap_or_default(), at_once.min(all))
            }
            Claimant::Logins | Claimant::Side(_) | Claimant::Owner => (0, all),
        };
        (own..own + some).filter_map(|index| self.slots.get(index % all)).min_by_key(|slot| slot.pressure())
    }

    /// An idle connection, unless its time is over or its driver has ended.
    fn reuse(&self, mut idle: Box<Connection>) -> Option<Box<Connection>> {
        let unfit = if idle.opened.ended.load(Ordering::Acquire) {
            Some(DropReason::Broken)
        } else if idle.retire_at <= Instant::now() {
            Some(DropReason::Aged)
        } else {
            None
        };
        if let Some(metrics) = &self.metrics {
            metrics.idle.dec();
            if let Some(reason) = unfit {
                metrics.dropped(reason);
            }
        }
        unfit.is_none().then(|| {
            if idle.statements.len() >= self.options.statements {
                idle.forget_statements();
            }
            idle
        })
    }

    async fn open(&self) -> DbResult<Box<Connection>> {
        let closed = self.closed_until.lock().is_some_and(|until| until > Instant::now());
        if closed {
            return Err(DbError::Unavailable("waiting before connecting again".to_owned()));
        }
        let connector = match self.timeouts.get() {
            Some(timeouts) => self.connector.clone().with_timeouts(*timeouts),
            None => self.connector.clone(),
        };
        match connector.connect().await {
            Ok(opened) => {
                self.failures.store(0, Ordering::Relaxed);
                *self.closed_until.lock() = None;
                if let Some(metrics) = &self.metrics {
                    metrics.opened.inc();
                }
                let age = self.options.max_age.mul_f64(rand::random_range(0.5..=1.0));
                let retire_at = Instant::now() + age;
                Ok(Box::new(Connection { opened, retire_at, statements: Statements::default() }))
            }
            Err(error) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed);
                let pause = backoff::pause(FIRST_PAUSE, LONGEST_PAUSE, failures, rand::random());
                *self.closed_until.lock() = Some(Instant::now() + pause);
                if let (Some(metrics), Some(why)) = (&self.metrics, error.failure()) {
                    metrics.failed(why);
                }
                // At debug level: the caller that asked for the connection reports what it could not do without it.
                tracing::debug!(%error, "cannot connect to PostgreSQL");
                Err(error)
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(metrics) = &self.metrics else { return };
        for _ in self.slots.iter().filter(|slot| slot.idle.lock().is_some()) {
            metrics.idle.dec();
            metrics.dropped(DropReason::Shutdown);
        }
    }
}
