//! The HTTP server.

use std::{net::IpAddr, time::Duration};

use clap::Args;

use crate::value::{BaseUrl, Origin, millis, number, port, seconds};

/// Where the API listens and what it lets in.
#[derive(Clone, Debug, Args)]
pub struct Http {
    /// Address the API listens on.
    #[arg(env = "BULKHEAD_BIND", default_value = "0.0.0.0")]
    pub bind: IpAddr,
    /// Port the API listens on.
    #[arg(env = "BULKHEAD_PORT", default_value = "8080", value_parser = port)]
    pub port: u16,
    /// Address that metrics and machine probes are served on.
    #[arg(env = "BULKHEAD_METRICS_BIND", default_value = "0.0.0.0")]
    pub metrics_bind: IpAddr,
    /// Port that metrics and machine probes are served on; not for the public.
    #[arg(env = "BULKHEAD_METRICS_PORT", default_value = "9090", value_parser = port)]
    pub metrics_port: u16,
    /// Where clients reach the API, without a slash at the end; also the default issuer of tokens. A path in it is one that the
    /// proxy in front takes off: addresses in answers, in the OpenAPI document and in the documentation begin with it. Where
    /// there is one, the proxy also passes on `/.well-known/oauth-protected-resource` followed by that path, as it is (RFC
    /// 9728).
    #[arg(env = "BULKHEAD_PUBLIC_URL", default_value = "http://127.0.0.1:8080")]
    pub public_url: BaseUrl,
    /// Origins whose pages may call the API from a browser (CORS), with commas between them: `https://app.example.com`.
    /// Unset, none may.
    #[arg(env = "BULKHEAD_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<Origin>,
    /// Threads that serve requests; 0 means one per core.
    #[arg(env = "BULKHEAD_HTTP_THREADS", default_value = "0", value_parser = number(0..=1024_u16))]
    pub http_threads: u16,
    /// Largest request body, in bytes; at most an eighth of `BULKHEAD_TENANT_BYTES_IN_FLIGHT`. Without a credential it is
    /// 16 KiB.
    #[arg(env = "BULKHEAD_BODY_LIMIT_BYTES", default_value = "1048576", value_parser = number(1024..=67_108_864_usize))]
    pub body_limit_bytes: usize,
    /// Largest content of a resource, in bytes of JSON; a quarter of the largest body at least stays for what is around it.
    #[arg(env = "BULKHEAD_DATA_LIMIT_BYTES", default_value = "262144", value_parser = number(1024..=1_048_576_usize))]
    pub data_limit_bytes: usize,
    /// Longest time for a request, its body included, in milliseconds. Its head has had 5 seconds of its own before; an answer
    /// may then wait for its usage to be stored, for as long again at most.
    #[arg(env = "BULKHEAD_REQUEST_TIMEOUT_MS", default_value = "10000", value_parser = millis(100..=300_000))]
    pub request_timeout: Duration,
    /// Connections that a process may have; further ones wait until one is closed.
    #[arg(env = "BULKHEAD_CONNECTIONS", default_value = "8192", value_parser = number(64..=1_000_000_usize))]
    pub connections: usize,
    /// Connections that one address (IPv6: one /64) may have; further ones are closed. At most half of
    /// `BULKHEAD_CONNECTIONS`. Not counted behind trusted proxies, which gather the requests of all clients in a few connections.
    #[arg(env = "BULKHEAD_CONNECTIONS_PER_ADDRESS", default_value = "512", value_parser = number(1..=500_000_usize))]
    pub connections_per_address: usize,
    /// How long the reader of an answer may make no progress before its connection is cut, in seconds.
    #[arg(env = "BULKHEAD_WRITE_TIMEOUT_SECS", default_value = "30", value_parser = seconds(1..=600))]
    pub write_timeout: Duration,
    /// How long an idle connection is kept, in seconds; longer than the load balancer's idle time (60 at AWS).
    #[arg(env = "BULKHEAD_KEEP_ALIVE_SECS", default_value = "75", value_parser = seconds(1..=3600))]
    pub keep_alive: Duration,
    /// Trusted proxies in front of the API: the client's address is that many entries from the end of
    /// `X-Forwarded-For`, or the first one when there are fewer. 0 ignores the header.
    #[arg(env = "BULKHEAD_TRUSTED_PROXY_HOPS", default_value = "0", value_parser = number(0..=8_u8))]
    pub trusted_proxy_hops: u8,
    /// Requests per minute from one address (IPv6: one /64, and eight times as many from one /48) that show no credential,
    /// counted by each process. Requests with a good one do not count: they are bounded by their tenant's limit.
    #[arg(env = "BULKHEAD_IP_REQUESTS_PER_MINUTE", default_value = "6000", value_parser = number(1..=10_000_000_u32))]
    pub ip_requests_per_minute: u32,
    /// Credentials and logins per minute from one address (IPv6: one /64, and eight times as many from one /48) that may turn
    /// out to be no good, counted by each process; then none is looked up any more that the process has not met before. What
    /// was good once does not count, nor do good logins.
    #[arg(
        env = "BULKHEAD_IP_FAILED_CREDENTIALS_PER_MINUTE",
        default_value = "60",
        value_parser = number(1..=1_000_000_u32)
    )]
    pub ip_failed_credentials_per_minute: u32,
    /// How long readiness fails before the process stops accepting connections, in milliseconds; as long as the load
    /// balancer needs to notice.
    #[arg(env = "BULKHEAD_DRAIN_DELAY_MS", default_value = "0", value_parser = millis(0..=60_000))]
    pub drain_delay: Duration,
    /// How long requests and jobs in flight may take to finish at shutdown, in seconds; less than the orchestrator
    /// waits before it kills (30 at ECS).
    #[arg(env = "BULKHEAD_SHUTDOWN_SECS", default_value = "20", value_parser = seconds(1..=110))]
    pub shutdown: Duration,
}
