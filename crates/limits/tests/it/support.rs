//! A private Redis and limiters on it.

use std::time::{Duration, Instant};

use bulkhead_domain::{Clock, Limit, SystemClock, TenantId};
use bulkhead_limits::{Decision, Demand, Limiter, Prefetch, TENANT};
use bulkhead_link::{RedisServer, client};
use bulkhead_servers::{Binaries, Redis, RedisOptions, Scratch};
use bulkhead_telemetry::Metrics;

/// How long limiters here wait for Redis: longer than in production, so that a busy machine is not an outage.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(250);

/// How long a test waits for what must come, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server of the test's own.
pub(crate) struct Server {
    // Before the directory that it lives in.
    pub(crate) redis: Redis,
    _scratch: Scratch,
}

impl Server {
    pub(crate) fn start() -> Self {
        let scratch = Scratch::new().unwrap();
        let options = RedisOptions { append_only: false, ..RedisOptions::new(scratch.path().join("redis")) };
        Self { redis: Redis::start(&Binaries::find().unwrap(), options).unwrap(), _scratch: scratch }
    }

    pub(crate) fn limiter(&self, nodes: u32) -> Limiter {
        limiter(&self.redis.url(), None, nodes)
    }

    /// A blocking connection for looking behind the limiter's back.
    pub(crate) fn connection(&self) -> redis::Connection {
        client(&self.redis.url(), None).unwrap().get_connection().unwrap()
    }
}

pub(crate) fn limiter(url: &str, ca: Option<&[u8]>, nodes: u32) -> Limiter {
    Limiter::new(server(url, ca), nodes, Metrics::new().unwrap())
}

pub(crate) fn server(url: &str, ca: Option<&[u8]>) -> RedisServer {
    RedisServer::new(url, ca, Duration::from_secs(1), TIMEOUT).unwrap()
}

pub(crate) fn tenant() -> TenantId {
    TenantId::mint(SystemClock.now())
}

/// A limit so slow that nothing flows in during a test.
pub(crate) const fn burst(burst: u32) -> Limit {
    Limit { per_minute: 1, burst }
}

/// One request that asks Redis whatever it has said before.
pub(crate) async fn ask(limiter: &Limiter, tenant: TenantId, limit: Limit) -> Decision {
    let demand = Demand { bucket: TENANT, limit, cost: 1, prefetch: Prefetch::default() };
    let [decision] = limiter.check_all(tenant, [demand], SystemClock.now()).await;
    decision
}

/// How many of `requests` are admitted, one after the other.
pub(crate) async fn admitted(limiter: &Limiter, tenant: TenantId, limit: Limit, requests: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..requests {
        admitted += u32::from(ask(limiter, tenant, limit).await.allowed);
    }
    admitted
}

/// What a bucket can have admitted at most by now, counted from `since`.
pub(crate) fn at_most(limit: Limit, since: Instant) -> u32 {
    let gained = since.elapsed().as_millis() * u128::from(limit.per_minute) / 60_000 + 1;
    limit.burst + u32::try_from(gained).unwrap()
}

/// Asks until the decision is Redis'.
pub(crate) async fn back_to_redis(limiter: &Limiter) {
    let probe = tenant();
    let found = async {
        while ask(limiter, probe, burst(1_000_000)).await.source != bulkhead_limits::Source::Redis {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("Redis was not found again");
}
