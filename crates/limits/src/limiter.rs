//! The tenants' limiter: Redis decides, and this process when Redis is away.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use bulkhead_domain::{ApiKeyId, Limit, TenantId};
use bulkhead_link::{Link, RedisServer, Reply};
use bulkhead_telemetry::{Metrics, metrics::LimitKind};
use chrono::{DateTime, Utc};

use crate::{
    bucket::Assessment,
    decision::{Decision, Demand, KEY, Source},
    lease::Leases,
    local::LocalBuckets,
    script::Script,
};

/// Tenants' buckets remembered at most for the times without Redis: some 12 MB.
const BUCKETS: usize = 131_072;

/// Decides on tenants' requests. Clones share everything; threads share the local buckets and each has a connection of
/// its own, made with [`Self::for_thread`].
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
    link: Arc<Link<Script>>,
}

struct Shared {
    local: LocalBuckets<TenantId>,
    leases: Leases,
    nodes: AtomicU32,
    metrics: Metrics,
}

impl Limiter {
    /// A limiter on a Redis, for whose answer a request waits as long as the server says; then this process decides. Nothing is
    /// connected yet. While Redis is away, `nodes` processes share a limit.
    pub fn new(redis: RedisServer, nodes: u32, metrics: Metrics) -> Self {
        let link = Arc::new(Link::new(redis, Script::new(), metrics.clone()));
        let nodes = AtomicU32::new(nodes.max(1));
        let (local, leases) = (LocalBuckets::new(BUCKETS), Leases::new());
        Self { shared: Arc::new(Shared { local, leases, nodes, metrics }), link }
    }

    /// The same limiter with a connection that belongs to the runtime on which it is first used.
    #[must_use]
    pub fn for_thread(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), link: Arc::new(self.link.another()) }
    }

    /// Asks Redis for a sign of life, on a new connection if there is none, and says whether it came. Good for having a
    /// connection before the first request (which connects otherwise) and for probing.
    pub async fn connect(&self) -> bool {
        self.link.connect().await
    }

    /// Tells how many processes share a limit while Redis is away.
    pub fn set_nodes(&self, nodes: u32) {
        self.shared.nodes.store(nodes.max(1), Ordering::Relaxed);
    }

    /// Takes `cost` tokens from the tenant's own bucket, from those that were taken ahead if there are any. `now` is used
    /// when this process decides alone; Redis goes by its own clock.
    pub async fn check(&self, tenant: TenantId, limit: Limit, cost: u32, now: DateTime<Utc>) -> Decision {
        let asked = Instant::now();
        let nodes = self.shared.nodes.load(Ordering::Relaxed);
        match self.shared.leases.decide(tenant, limit, cost, nodes, asked) {
            Ok(decision) => {
                self.shared.metrics.limiter.decided(LimitKind::Tenant, decision.source, decision.allowed);
                decision
            }
            Err(demand) => {
                // Boxed, because it is rare and large, and the future of every request would hold it.
                let ([decision], reply) = Box::pin(self.ask(tenant, [demand], now)).await;
                match reply {
                    Reply::Said([assessed]) => {
                        self.shared.leases.note(tenant, demand, assessed, asked, Instant::now());
                    }
                    Reply::NotAsked => self.shared.leases.keep(tenant, demand),
                    // Redis may have taken back what the demand gives back, so it must not be given back a second
                    // time.
                    Reply::Lost => {}
                }
                decision
            }
        }
    }

    /// The same for the bucket of an API key that has a limit of its own. A bucket is named by the id of the one whom it belongs
    /// to, and a key's id is no tenant's.
    pub async fn check_key(&self, key: ApiKeyId, limit: Limit, cost: u32, now: DateTime<Utc>) -> Decision {
        Decision { bucket: KEY, ..self.check(TenantId::from_uuid(key.uuid()), limit, cost, now).await }
    }

    /// Takes tokens from several of the tenant's buckets, or from none of them. The request is admitted when every
    /// decision is `allowed`.
    pub async fn check_all<const N: usize>(
        &self,
        tenant: TenantId,
        demands: [Demand; N],
        now: DateTime<Utc>,
    ) -> [Decision; N] {
        self.ask(tenant, demands, now).await.0
    }

    /// Asks Redis, or decides alone. Returns the decisions and what came of asking.
    async fn ask<const N: usize>(
        &self,
        tenant: TenantId,
        demands: [Demand; N],
        now: DateTime<Utc>,
    ) -> ([Decision; N], Reply<[Assessment; N]>) {
        let nodes = self.shared.nodes.load(Ordering::Relaxed);
        let script = self.link.purpose();
        let take = |mut connection| async move { script.take(&mut connection, tenant, &demands).await };
        let reply = self.link.ask(take).await;
        let decisions = match &reply {
            Reply::Said(assessed) => self.via_redis(tenant, demands, *assessed, nodes, now),
            Reply::NotAsked | Reply::Lost => self.locally(tenant, demands, nodes, now),
        };
        let admitted = decisions.iter().all(|decision| decision.allowed);
        let source = decisions.first().map_or(Source::Local, |decision| decision.source);
        self.shared.metrics.limiter.decided(LimitKind::Tenant, source, admitted);
        (decisions, reply)
    }

    /// Redis has decided. What it says is left also bounds what this process may grant when it decides alone next.
    fn via_redis<const N: usize>(
        &self,
        tenant: TenantId,
        demands: [Demand; N],
        assessed: [Assessment; N],
        nodes: u32,
        now: DateTime<Utc>,
    ) -> [Decision; N] {
        let mut assessed = assessed.into_iter();
        demands.map(|demand| {
            let assessed = assessed.next().unwrap_or_default();
            self.shared.local.cap(tenant, demand.share(nodes), assessed.remaining.div_ceil(nodes), now);
            Decision::new(demand, assessed, Source::Redis)
        })
    }

    /// Redis is away: this process decides about its share.
    fn locally<const N: usize>(
        &self,
        tenant: TenantId,
        demands: [Demand; N],
        nodes: u32,
        now: DateTime<Utc>,
    ) -> [Decision; N] {
        let decisions = self.shared.local.take(tenant, demands.map(|demand| demand.share(nodes)), now);
        let mut limits = demands.into_iter().map(|demand| demand.limit);
        decisions.map(|decision| Decision { limit: limits.next().unwrap_or(decision.limit), ..decision })
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limiter({} nodes)", self.shared.nodes.load(Ordering::Relaxed))
    }
}
