//! How to reach the Redis that holds the stream and the queue.

use std::{fmt, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, RedisResult, TlsCertificates,
    aio::MultiplexedConnection,
};

/// A Redis server, and how long to wait for it. Every wait is bounded: a server that is frozen is a server that is away.
#[derive(Clone)]
pub struct RedisServer {
    client: Client,
    connect: Duration,
    answer: Duration,
}

impl RedisServer {
    /// Reads a `redis://` or `rediss://` URL. With `rediss://` the server's certificate and host name are verified,
    /// against the system's roots or the PEM bundle given. `connect` bounds the wait for a connection, `answer` that for
    /// an answer.
    pub fn new(url: &str, ca_pem: Option<&[u8]>, connect: Duration, answer: Duration) -> RedisResult<Self> {
        let info = url.into_connection_info()?;
        let client = match ca_pem {
            Some(pem) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) };
                Client::build_with_tls(info, certificates)?
            }
            None => Client::open(info)?,
        };
        Ok(Self { client, connect, answer })
    }

    /// The same server with another patience for answers.
    #[must_use]
    pub fn with_answer_timeout(mut self, answer: Duration) -> Self {
        self.answer = answer;
        self
    }

    /// Opens a connection that the current runtime drives. It does not reconnect: when it fails, its user knows what
    /// was under way, drops it and opens another. Its waits are bounded by the clock, so a thread that did not run for a
    /// while takes its own absence for the server's.
    pub async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        self.open(Some(self.connect), Some(self.answer)).await
    }

    /// The same without a bound to any wait, for callers that count silence themselves (`patience.rs`).
    pub(crate) async fn connect_untimed(&self) -> RedisResult<MultiplexedConnection> {
        self.open(None, None).await
    }

    async fn open(
        &self,
        connect: Option<Duration>,
        answer: Option<Duration>,
    ) -> RedisResult<MultiplexedConnection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(connect).set_response_timeout(answer);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// How long to wait for a connection.
    pub(crate) const fn connect_timeout(&self) -> Duration {
        self.connect
    }

    /// How long to wait for an answer.
    pub(crate) const fn answer_timeout(&self) -> Duration {
        self.answer
    }
}

/// Shows where, never the password.
impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}", self.client.get_connection_info().addr())
    }
}
