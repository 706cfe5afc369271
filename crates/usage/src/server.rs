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
    /// was under way, drops it and opens another.
    pub async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect))
            .set_response_timeout(Some(self.answer));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

/// Shows where, never the password.
impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}", self.client.get_connection_info().addr())
    }
}
