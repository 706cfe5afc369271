//! A job that does as it is told, and a worker to run it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bulkhead_config::Extensions;
use bulkhead_db::{
    Authority,
    platform::{
        audit,
        queue::{self, kinds},
    },
    tenant::audit::Entry,
};
use bulkhead_domain::{Clock, JobId, SystemClock, TenantId};
use bulkhead_fixtures::{TestDb, TestRedis, mac, signing_key_maker};
use bulkhead_jobs::{Job, TenantJob};
use bulkhead_link::RedisServer;
use bulkhead_oidc::{AllowedHosts, Issuers};
use bulkhead_telemetry::Metrics;
use bulkhead_worker::{
    CoreJobs, Dependencies, Finished, JobError, JobHandler, JobRun, Jobs, Pools, Registry, WorkerError,
    WorkerOptions, run,
};
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, spawn_local},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Holds the probes' runs that pass it, in this process, until the test opens it.
#[derive(Debug)]
pub(crate) struct Gate(Uuid);

static GATES: LazyLock<Mutex<HashMap<Uuid, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

impl Gate {
    pub(crate) fn closed() -> Self {
        let id = Uuid::now_v7();
        GATES.lock().unwrap().insert(id, Arc::new(Semaphore::new(0)));
        Self(id)
    }

    /// A probe whose run waits here.
    pub(crate) fn probe(&self) -> Probe {
        Probe { gate: Some(self.0), ..Probe::default() }
    }

    /// Lets all runs pass, those that come later too.
    pub(crate) fn open(&self) {
        semaphore(self.0).close();
    }

    /// How many runs wait here.
    pub(crate) fn waiting(&self) -> usize {
        // One is the map's, one is the count's own.
        Arc::strong_count(&semaphore(self.0)) - 2
    }
}

fn semaphore(gate: Uuid) -> Arc<Semaphore> {
    Arc::clone(&GATES.lock().unwrap()[&gate])
}

/// Waits, fails, panics or gives up as told; otherwise leaves one row in the audit log for every time that it has taken
/// effect.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Probe {
    /// What a run waits for.
    pub(crate) gate: Option<Uuid>,
    /// How long a run takes besides.
    pub(crate) millis: u64,
    /// How many attempts fail before one succeeds.
    pub(crate) failures: i32,
    /// Whether they fail by a panic.
    pub(crate) panics: bool,
    /// Whether it gives up.
    pub(crate) aborts: bool,
}

impl Job for Probe {
    const KIND: &'static str = "probe";
    const MAX_ATTEMPTS: i32 = 3;
}

impl TenantJob for Probe {}

impl JobHandler for Probe {
    const TIMEOUT: Duration = Duration::from_secs(5);

    async fn run(self, run: &JobRun) -> Result<Finished, JobError> {
        if let Some(gate) = self.gate {
            let gate = semaphore(gate);
            // An error says that it is open.
            let _open = gate.acquire().await;
        }
        sleep(Duration::from_millis(self.millis)).await;
        if self.aborts {
            return Err(JobError::abort("the probe gives up"));
        }
        if run.attempt() <= self.failures {
            assert!(!self.panics, "the probe panics");
            return Err(JobError::retry("a secret reason"));
        }
        run.finish(async |tx| {
            let id = run.id().to_string();
            let entry = Entry {
                at: run.now(),
                actor: "test",
                act: None,
                action: "probe",
                target: &id,
                request_id: &id,
                address: None,
                changes: json!({}),
            };
            audit::record(tx, &entry).await?;
            Ok(Some(json!({ "attempt": run.attempt() })))
        })
        .await
    }
}

/// A database that knows the probe.
pub(crate) async fn database() -> Result<TestDb> {
    let db = TestDb::new().await?;
    kinds::declare(&db.owner()?, &registry().kinds()).await?;
    Ok(db)
}

/// A database that knows the core's jobs, as `migrate` leaves it.
pub(crate) async fn core_database() -> Result<TestDb> {
    let db = TestDb::new().await?;
    kinds::declare(&db.owner()?, &core().kinds()).await?;
    Ok(db)
}

pub(crate) fn tenant(n: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(n))
}

pub(crate) async fn enqueue(db: &TestDb, tenant: Option<TenantId>, probe: &Probe) -> Result<JobId> {
    let work = async |tx: &mut _| queue::enqueue(tx, probe, tenant, None, SystemClock.now()).await;
    Ok(db.db()?.platform_write(Authority::machinery(), work).await?)
}

/// Many jobs at once, of one tenant.
pub(crate) async fn enqueue_many(db: &TestDb, tenant: TenantId, probe: &Probe, count: usize) -> Result<()> {
    let payload = serde_json::to_string(probe)?;
    db.sql(&format!(
        "INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts) \
         SELECT gen_random_uuid(), 'probe', '{}', '{payload}', 3 FROM generate_series(1, {count})",
        tenant.uuid()
    ))
    .await?;
    Ok(())
}

/// Options with which a test sees in seconds what takes a minute in production.
pub(crate) fn options() -> WorkerOptions {
    WorkerOptions {
        node: "test".to_owned(),
        lease: Duration::from_secs(2),
        sweep: Duration::from_millis(200),
        patience: Duration::from_secs(2),
        redis_grace: Duration::from_millis(700),
        first_pause: Duration::from_millis(50),
        postponement: Duration::from_millis(100),
        drain: Duration::from_secs(5),
        ..WorkerOptions::default()
    }
}

pub(crate) fn server(url: &str) -> RedisServer {
    RedisServer::new(url, None, Duration::from_millis(500), Duration::from_millis(800)).unwrap()
}

pub(crate) fn registry() -> Registry {
    Registry::new([CoreJobs::new().with::<Probe>().into()]).unwrap()
}

/// The core's jobs.
pub(crate) fn core() -> Registry {
    Registry::new([Jobs::core()]).unwrap()
}

/// Pools of a worker that may reach none.
pub(crate) fn no_pools() -> Result<Pools> {
    let issuers = Issuers::new(bulkhead_oidc::client(None, false)?, AllowedHosts::default(), None);
    Ok(Pools::new(None, Arc::new(issuers), Metrics::new()?.identity.clone()))
}

pub(crate) fn dependencies(db: &TestDb, redis_url: &str) -> Result<Dependencies> {
    Ok(Dependencies {
        threads: vec![db.db()?, db.db()?],
        own: db.db()?,
        // As the product has them.
        owner: db.owner_with(TestDb::pool_options(1))?,
        purger: db.owner_with(TestDb::pool_options(1))?,
        redis: server(redis_url),
        usage_mac: mac(),
        queue_mac: mac(),
        signing_key_maker: signing_key_maker(),
        mail: None,
        anchoring: None,
        pools: no_pools()?,
        metrics: Metrics::new()?,
        health: std::sync::Arc::default(),
        clock: Arc::new(SystemClock),
        extensions: Extensions::default(),
    })
}

/// A running worker.
pub(crate) struct Worker {
    pub(crate) metrics: Metrics,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Worker {
    pub(crate) fn start(db: &TestDb, redis: &TestRedis) -> Result<Self> {
        Self::start_with(db, &redis.url(), options(), registry())
    }

    pub(crate) fn start_with(
        db: &TestDb,
        redis_url: &str,
        options: WorkerOptions,
        registry: Registry,
    ) -> Result<Self> {
        Ok(Self::run(dependencies(db, redis_url)?, options, registry))
    }

    /// One whose time is that of this clock.
    pub(crate) fn start_by(
        clock: Arc<dyn Clock>,
        db: &TestDb,
        redis: &TestRedis,
        registry: Registry,
    ) -> Result<Self> {
        Ok(Self::run(Dependencies { clock, ..dependencies(db, &redis.url())? }, options(), registry))
    }

    pub(crate) fn run(dependencies: Dependencies, options: WorkerOptions, registry: Registry) -> Self {
        let (metrics, shutdown) = (dependencies.metrics.clone(), CancellationToken::new());
        let task = spawn_local(run(options, dependencies, registry, shutdown.clone()));
        Self { metrics, shutdown, task }
    }

    /// Ends in order.
    pub(crate) async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        Ok(self.task.await??)
    }
}

/// Waits until a query yields what is wanted; how long that took. A machine that runs tests may have much else to do, so
/// it waits several times as long as it should take before it gives up: what is asked is whether, not how fast.
pub(crate) async fn until(db: &TestDb, sql: &str, wanted: &str, usually: Duration) -> Result<Duration> {
    let began = Instant::now();
    let patience = usually * 5;
    loop {
        let value = db.value(sql).await?;
        if value == wanted {
            return Ok(began.elapsed());
        }
        if began.elapsed() > patience {
            let jobs = db.sql("SELECT kind, state, attempts, pushed_at, run_at - now() AS due_in, error, result FROM platform.jobs LIMIT 20").await?;
            bail!("after {patience:?} still {value}, not {wanted}: {sql}; jobs: {jobs:?}");
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// How often Redis was asked for work, or told of it: apalis does both by scripts.
pub(crate) async fn scripts_run(connection: &mut MultiplexedConnection) -> Result<u64> {
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(connection).await?;
    let calls = |line: &str| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok();
    Ok(stats.lines().find_map(calls).unwrap_or_default())
}

/// Waits until Redis was asked for work that many times more: 20 times a second it should be, and where only the heartbeat of
/// apalis asks, once in 5 s.
pub(crate) async fn asked_again(connection: &mut MultiplexedConnection, times: u64) -> Result<()> {
    let before = scripts_run(connection).await?;
    let asked = async {
        while scripts_run(connection).await? < before + times {
            sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    timeout(Duration::from_secs(60), asked).await.context("Redis is asked for work too seldom")?
}

/// How many jobs there are in a state.
pub(crate) fn jobs_in(state: &str) -> String {
    format!("SELECT count(*) FROM platform.jobs WHERE kind = 'probe' AND state = '{state}'")
}

/// How often the probe took effect, and for how many jobs.
pub(crate) const EFFECTS: &str =
    "SELECT count(*) || ' ' || count(DISTINCT target) FROM platform.audit_log WHERE action = 'probe'";

/// What people see of a job.
pub(crate) async fn job(db: &TestDb, id: JobId) -> Result<queue::JobRow> {
    let read = async |tx: &mut _| queue::operation(tx, id).await;
    db.db()?.platform_read(Authority::machinery(), read).await?.context("no such job")
}
