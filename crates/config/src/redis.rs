//! Redis.

use clap::Args;

use crate::{database::required, error::ConfigError, server_url::ServerUrl, value::CertificateBundle};

const CACHE_URL: &str = "BULKHEAD_REDIS_CACHE_URL";
const QUEUE_URL: &str = "BULKHEAD_REDIS_QUEUE_URL";

/// Where Redis is. `rediss://` means TLS with the server's certificate and host name verified.
#[derive(Clone, Debug, Args)]
pub struct Redis {
    /// Redis for limits: `rediss://user:password@host:6379/0`.
    #[arg(env = CACHE_URL, hide_env_values = true, value_parser = ServerUrl::redis)]
    cache_url: Option<ServerUrl>,
    /// Redis for usage and the job queue; must never evict (`noeviction`). Unset, the one for limits.
    #[arg(env = QUEUE_URL, hide_env_values = true, value_parser = ServerUrl::redis)]
    queue_url: Option<ServerUrl>,
    /// File of PEM certificates that the servers' certificates must lead to; unset, the system's authorities count.
    #[arg(id = "redis_ca", env = "BULKHEAD_REDIS_CA_FILE")]
    pub ca: Option<CertificateBundle>,
}

impl Redis {
    /// Redis for limits.
    pub fn require_cache(&self) -> Result<&ServerUrl, ConfigError> {
        required(CACHE_URL, self.cache_url.as_ref())
    }

    /// Redis for usage and the job queue.
    pub fn require_queue(&self) -> Result<&ServerUrl, ConfigError> {
        self.queue_url.as_ref().map_or_else(|| self.require_cache(), Ok)
    }

    /// The addresses that would be spoken to without TLS.
    pub(crate) fn plaintext_urls(&self) -> impl Iterator<Item = (&'static str, &ServerUrl)> {
        [(CACHE_URL, &self.cache_url), (QUEUE_URL, &self.queue_url)]
            .into_iter()
            .filter_map(|(variable, url)| url.as_ref().map(|url| (variable, url)))
            .filter(|(_, url)| !url.asks_for_tls())
    }
}
