//! The connection of one thread to Redis, for calls that a request waits for.
//!
//! Owned by the runtime of the thread that uses it, because waking another thread costs more than Redis does. Any
//! failure (no answer in time, an error, a closed connection) opens a breaker: for a short, growing, jittered pause Redis
//! is not asked, then a new connection is made beside the requests, never in their way. Refuses to repeat a call: its
//! effect may have happened.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bulkhead_telemetry::{Metrics, metrics::RedisUse};
use parking_lot::Mutex;
use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::time::timeout;

use crate::{backoff::pause, server::RedisServer};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a link is for.
pub trait Purpose: Send + Sync + 'static {
    /// The name under which its failures are counted.
    const USE: RedisUse;
    /// What the log says when Redis goes away.
    const AWAY: &'static str;
    /// What the log says when Redis is there.
    const BACK: &'static str;

    /// Makes a new connection ready. It is used only once this has succeeded, so that a Redis which answers and does not serve
    /// (while it loads its data) counts as away.
    fn prepare(&self, connection: &mut MultiplexedConnection)
    -> impl Future<Output = RedisResult<()>> + Send;
}

/// What came of asking Redis.
#[derive(Debug)]
pub enum Reply<T> {
    /// It has answered.
    Said(T),
    /// There is no connection: it was not asked, so nothing has happened.
    NotAsked,
    /// It was asked and has not answered, or with an error: what was asked for may have happened.
    Lost,
}

/// A connection that comes and goes.
pub struct Link<P> {
    server: RedisServer,
    purpose: Arc<P>,
    state: Mutex<State>,
    /// Failures since the last answer.
    failures: AtomicU32,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a late failure of an old one does not end the new one.
    number: u64,
    /// When the next attempt may begin; `None` before the first. While an attempt is under way this is later than it can
    /// last, so that there is only one, and another should it be lost.
    closed_until: Option<Instant>,
}

impl<P: Purpose> Link<P> {
    /// A link to a server; nothing is connected yet.
    pub fn new(server: RedisServer, purpose: P, metrics: Metrics) -> Self {
        Self::of(server, Arc::new(purpose), metrics)
    }

    fn of(server: RedisServer, purpose: Arc<P>, metrics: Metrics) -> Self {
        Self { server, purpose, state: Mutex::default(), failures: AtomicU32::new(0), metrics }
    }

    /// A link of its own to the same Redis.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::of(self.server.clone(), Arc::clone(&self.purpose), self.metrics.clone())
    }

    /// What it is for.
    pub fn purpose(&self) -> &P {
        &self.purpose
    }

    /// Makes a call on the connection. Comes back at the latest after the server's time-out for answers.
    pub async fn ask<T, F>(self: &Arc<Self>, call: impl FnOnce(MultiplexedConnection) -> F) -> Reply<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let Some((connection, number)) = self.connection().await else { return Reply::NotAsked };
        let reason = match timeout(self.answer(), call(connection)).await {
            Ok(Ok(answer)) => {
                if self.failures.load(Ordering::Relaxed) > 0 {
                    self.failures.store(0, Ordering::Relaxed);
                }
                return Reply::Said(answer);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => self.no_answer(),
        };
        self.lost(number, &reason);
        Reply::Lost
    }

    /// Asks Redis for a sign of life, on a new connection if there is none. Says whether it came.
    pub async fn connect(&self) -> bool {
        let Some((mut connection, number)) = self.open_connection() else {
            self.state.lock().closed_until = Some(self.after_an_attempt());
            return self.establish().await;
        };
        let reason = match timeout(self.answer(), redis::cmd("PING").exec_async(&mut connection)).await {
            Ok(Ok(())) => {
                // Another thread that lost its connection has said that Redis is away, and may have no request with
                // which to find it again.
                self.metrics.redis.up.set(1);
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => self.no_answer(),
        };
        self.lost(number, &reason);
        false
    }

    const fn answer(&self) -> Duration {
        self.server.answer_timeout()
    }

    fn no_answer(&self) -> String {
        format!("no answer in {:?}", self.answer())
    }

    /// A moment at which an attempt that begins now is over.
    fn after_an_attempt(&self) -> Instant {
        Instant::now() + self.server.connect_timeout() + LONGEST_PAUSE
    }

    /// The connection and its number. When a new one is due it is made in the background; only the very first caller
    /// waits for it, as long as it would wait for an answer.
    async fn connection(self: &Arc<Self>) -> Option<(MultiplexedConnection, u64)> {
        let is_first = {
            let mut state = self.state.lock();
            if let Some(connection) = &state.connection {
                return Some((connection.clone(), state.number));
            }
            if state.closed_until.is_some_and(|until| until > Instant::now()) {
                return None;
            }
            state.closed_until.replace(self.after_an_attempt()).is_none()
        };
        let link = Arc::clone(self);
        let attempt = tokio::spawn(async move { link.establish().await });
        if is_first && timeout(self.answer(), attempt).await.is_ok() { self.open_connection() } else { None }
    }

    fn open_connection(&self) -> Option<(MultiplexedConnection, u64)> {
        let state = self.state.lock();
        state.connection.clone().map(|connection| (connection, state.number))
    }

    async fn establish(&self) -> bool {
        match timeout(self.server.connect_timeout(), self.open()).await {
            Ok(Ok(connection)) => {
                let mut state = self.state.lock();
                state.connection = Some(connection);
                state.number += 1;
                drop(state);
                self.metrics.redis.up.set(1);
                tracing::info!("{}", P::BACK);
                true
            }
            Ok(Err(error)) => self.away(&error.to_string()),
            Err(_elapsed) => self.away("no connection in time"),
        }
    }

    async fn open(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection = self.server.connect_untimed().await?;
        self.purpose.prepare(&mut connection).await?;
        Ok(connection)
    }

    /// Gives a connection up after a failed call.
    fn lost(&self, number: u64, reason: &str) {
        let mut state = self.state.lock();
        let is_current = state.connection.is_some() && state.number == number;
        if is_current {
            state.connection = None;
        }
        drop(state);
        if is_current {
            self.away(reason);
        } else {
            self.metrics.redis.failed(P::USE);
        }
    }

    /// Opens the breaker: Redis is not asked for a while. Always returns `false`.
    fn away(&self, reason: &str) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        self.state.lock().closed_until = Some(Instant::now() + pause(FIRST_PAUSE, LONGEST_PAUSE, failures));
        self.metrics.redis.up.set(0);
        self.metrics.redis.failed(P::USE);
        if failures == 0 {
            tracing::warn!(error = reason, "{}", P::AWAY);
        } else {
            tracing::debug!(error = reason, failures, "Redis is still away");
        }
        false
    }
}
