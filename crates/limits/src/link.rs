//! The connection of one thread to Redis.
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

use bulkhead_domain::{TenantId, backoff};
use bulkhead_telemetry::{Metrics, metrics::RedisUse};
use parking_lot::Mutex;
use redis::{AsyncConnectionConfig, Client, RedisResult, TlsCertificates, aio::MultiplexedConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::time::timeout;

use crate::{bucket::Assessment, decision::Demand, script::Script};

/// Longest time to make a connection, TLS and authentication included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Calls that may wait to be written to the connection. The library's 50 make callers queue under load.
const PIPELINE: usize = 1024;

/// The address or the certificates of Redis cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the address or the certificates of Redis")]
pub struct ClientError(#[from] redis::RedisError);

/// A client for the Redis at `url`; nothing is connected yet. With `rediss://` its certificate and host name are
/// verified, against the authorities in `ca` (PEM) alone, or against the system's when there is none.
pub fn client(url: &str, ca: Option<&[u8]>) -> Result<Client, ClientError> {
    if CryptoProvider::get_default().is_none() {
        // Fails only when another thread was faster, and then there is one.
        let _ = aws_lc_rs::default_provider().install_default();
    }
    match ca {
        Some(pem) if url.starts_with("rediss://") => {
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) };
            Ok(Client::build_with_tls(url, certificates)?)
        }
        _ => Ok(Client::open(url)?),
    }
}

/// What came of asking Redis.
pub(crate) enum Reply<const N: usize> {
    /// It has answered.
    Said([Assessment; N]),
    /// There is no connection: it was not asked, so nothing of the demand has happened.
    NotAsked,
    /// It was asked and has not answered, or with an error: the demand may have been met.
    Lost,
}

/// A connection that comes and goes.
pub(crate) struct Link {
    client: Client,
    script: Script,
    timeout: Duration,
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

impl Link {
    pub(crate) fn new(client: Client, timeout: Duration, metrics: Metrics) -> Self {
        let state = Mutex::new(State::default());
        Self { client, script: Script::new(), timeout, state, failures: AtomicU32::new(0), metrics }
    }

    /// A link of its own to the same Redis.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.client.clone(), self.timeout, self.metrics.clone())
    }

    /// Asks Redis to take tokens. Answers at the latest after the time-out.
    pub(crate) async fn take<const N: usize>(
        self: &Arc<Self>,
        tenant: TenantId,
        demands: &[Demand; N],
    ) -> Reply<N> {
        let Some((mut connection, number)) = self.connection().await else { return Reply::NotAsked };
        let reason = match timeout(self.timeout, self.script.take(&mut connection, tenant, demands)).await {
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
    pub(crate) async fn connect(&self) -> bool {
        let Some((mut connection, number)) = self.open_connection() else {
            self.state.lock().closed_until = Some(Instant::now() + CONNECT_TIMEOUT + LONGEST_PAUSE);
            return self.establish().await;
        };
        let reason = match timeout(self.timeout, redis::cmd("PING").exec_async(&mut connection)).await {
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

    fn no_answer(&self) -> String {
        format!("no answer in {:?}", self.timeout)
    }

    /// The connection and its number. When a new one is due it is made in the background; only the very first caller
    /// waits for it, as long as it would wait for an answer.
    async fn connection(self: &Arc<Self>) -> Option<(MultiplexedConnection, u64)> {
        let is_first = {
            let mut state = self.state.lock();
            if let Some(connection) = &state.connection {
                return Some((connection.clone(), state.number));
            }
            let now = Instant::now();
            if state.closed_until.is_some_and(|until| until > now) {
                return None;
            }
            state.closed_until.replace(now + CONNECT_TIMEOUT + LONGEST_PAUSE).is_none()
        };
        let link = Arc::clone(self);
        let attempt = tokio::spawn(async move { link.establish().await });
        if is_first && timeout(self.timeout, attempt).await.is_ok() { self.open_connection() } else { None }
    }

    fn open_connection(&self) -> Option<(MultiplexedConnection, u64)> {
        let state = self.state.lock();
        state.connection.clone().map(|connection| (connection, state.number))
    }

    async fn establish(&self) -> bool {
        match timeout(CONNECT_TIMEOUT, self.open()).await {
            Ok(Ok(connection)) => {
                let mut state = self.state.lock();
                state.connection = Some(connection);
                state.number += 1;
                drop(state);
                self.metrics.redis.up.set(1);
                tracing::info!("limits are shared through Redis");
                true
            }
            Ok(Err(error)) => self.away(&error.to_string()),
            Err(_elapsed) => self.away("no connection in time"),
        }
    }

    /// A connection that has shown that Redis serves scripts (it does not while loading its data).
    async fn open(&self) -> RedisResult<MultiplexedConnection> {
        let config =
            AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(PIPELINE);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        self.script.load(&mut connection).await?;
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
            self.metrics.redis.failed(RedisUse::Limiter);
        }
    }

    /// Opens the breaker: Redis is not asked for a while. Always returns `false`.
    fn away(&self, reason: &str) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.state.lock().closed_until = Some(Instant::now() + pause(failures));
        self.metrics.redis.up.set(0);
        self.metrics.redis.failed(RedisUse::Limiter);
        if failures == 1 {
            tracing::warn!(error = reason, "Redis is away: this process enforces its share of limits");
        } else {
            tracing::debug!(error = reason, failures, "Redis is still away");
        }
        false
    }
}

/// How long to leave Redis alone after so many failures: doubled each time, and between half and all of that, so that
/// the threads of many processes do not come back together.
fn pause(failures: u32) -> Duration {
    backoff::pause(FIRST_PAUSE, LONGEST_PAUSE, failures.saturating_sub(1), rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        for (failures, longest) in [(1, 100), (2, 200), (5, 1600), (6, 2000), (u32::MAX, 2000)] {
            let longest = Duration::from_millis(longest);
            let pauses: Vec<_> = (0..100).map(|_| pause(failures)).collect();
            assert!(pauses.iter().all(|pause| (longest / 2..=longest).contains(pause)), "{pauses:?}");
            assert!(pauses.iter().any(|pause| Some(pause) != pauses.first()));
        }
    }

    #[test]
    fn a_client_needs_an_address_and_certificates_that_are_some() {
        assert!(client("redis://localhost", None).is_ok());
        assert!(client("nonsense", None).is_err());
        assert!(
            client(
                "rediss://localhost",
                Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
            )
            .is_err()
        );
    }
}
