//! Where a Redis is, how it is trusted, and how long to wait for it.

use std::{fmt, time::Duration};

use redis::{AsyncConnectionConfig, Client, RedisResult, TlsCertificates, aio::MultiplexedConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Calls that may wait to be written to a connection. The library's 50 make callers queue under load.
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

/// A Redis server, and how long to wait for it. Every wait is bounded: a server that is frozen is a server that is away.
#[derive(Clone)]
pub struct RedisServer {
    client: Client,
    connect: Duration,
    answer: Duration,
}

impl RedisServer {
    /// The server at a `redis://` or `rediss://` URL, trusted as [`client`] says. `connect` bounds the wait for a connection,
    /// TLS and authentication included, `answer` that for an answer.
    pub fn new(
        url: &str,
        ca_pem: Option<&[u8]>,
        connect: Duration,
        answer: Duration,
    ) -> Result<Self, ClientError> {
        Ok(Self { client: client(url, ca_pem)?, connect, answer })
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

    /// The same without a bound to any wait, for callers that bound them by themselves.
    pub async fn connect_untimed(&self) -> RedisResult<MultiplexedConnection> {
        self.open(None, None).await
    }

    async fn open(
        &self,
        connect: Option<Duration>,
        answer: Option<Duration>,
    ) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(connect)
            .set_response_timeout(answer)
            .set_pipeline_buffer_size(PIPELINE);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// How long to wait for a connection.
    pub const fn connect_timeout(&self) -> Duration {
        self.connect
    }

    /// How long to wait for an answer.
    pub const fn answer_timeout(&self) -> Duration {
        self.answer
    }
}

/// Shows where, never the password.
impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}", self.client.get_connection_info().addr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_needs_an_address_and_certificates_that_are_some() {
        const BROKEN: &[u8] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        assert!(client("redis://localhost", None).is_ok());
        assert!(client("nonsense", None).is_err());
        assert!(client("rediss://localhost", Some(BROKEN)).is_err());
        // Without TLS there is no certificate to verify.
        assert!(client("redis://localhost", Some(BROKEN)).is_ok());
    }

    #[test]
    fn neither_a_server_nor_its_errors_show_the_password() {
        let server = RedisServer::new("redis://user:hunter2@127.0.0.1:1", None, SECOND, SECOND).unwrap();
        let shown = format!("{server:?} {:?}", client("redis://user:hunter2@127.0.0.1:1", None).unwrap());
        assert!(shown.starts_with("Redis at 127.0.0.1:1") && !shown.contains("hunter2"), "{shown}");
        let refused = client("redis://user:hunter2@:x/", None).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
}
