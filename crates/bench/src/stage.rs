//! What is measured: PostgreSQL, Redis, tenants, and the product's own processes, all started here and gone afterwards.
//!
//! What is measured is the `bulkhead` that was built beside this program. Given servers are used only when they are empty,
//! and left so.

mod program;
mod servers;
mod tenants;

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use bulkhead_auth::{MasterKey, MasterKeys};
use bulkhead_db::fleet::{
    migrate::{CORE, RESOURCES, Sets},
    provision::schema_pool::build_ahead,
};
use bulkhead_domain::{Clock as _, SchemaName, SystemClock, TenantId};
use bulkhead_fixtures::{Cluster, TestDb};
use bulkhead_servers::{Binaries, Scratch};
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use self::{
    program::{Api, Program, binary},
    servers::Given,
    tenants::Tenant,
};
use self::{
    program::{Service, free_port},
    servers::Cache,
    tenants::Builder,
};
use crate::{
    mix::{Request, wrk_script},
    tools::{redis_cli, script, wrk},
};

/// Connections to PostgreSQL, of the product and of pgbench alike.
pub(crate) const CONNECTIONS: u32 = 8;
/// Connections of clients: four for each to PostgreSQL, so that those are never idle.
pub(crate) const CLIENTS: u32 = 32;
/// Threads of the API.
pub(crate) const THREADS: u32 = 2;
/// What every tenant may do, so that no run meets its limit: requests per minute, and at once.
const LIMIT: u32 = 1_000_000;
/// Without a line for each request; what that costs is measured by itself.
pub(crate) const QUIET: &str = "warn";
/// More than this many tenants are asked of newer servers only.
const MANY: usize = 5_000;
/// The PostgreSQL whose membership test does not go through a list.
const FOR_MANY: u32 = 16;
/// Statements that a connection may hold: as many tenants as a thread has, spread over its connections, read and write.
pub(crate) const STATEMENTS: u32 = 10_000;
/// Requests for each tenant until it counts as warm: on two connections of each of two threads, three times and some.
const WARM_USES: usize = 20;
/// What the one address that all load comes from may do per minute: the most that can be set.
const ADDRESS_LIMIT: u32 = 10_000_000;

/// Everything that runs.
pub(crate) struct Stage {
    // Before the servers that they use.
    api: Option<Api>,
    worker: Option<Service>,
    pub(crate) db: TestDb,
    redis: Cache,
    pub(crate) tenants: Vec<Tenant>,
    built_more: AtomicUsize,
    master_key: MasterKey,
    scratch: Scratch,
}

impl Stage {
    /// Servers and tenants. Nothing of the product runs yet.
    pub(crate) async fn build(tenants: usize, given: &Given) -> Result<Self> {
        let adjust = |options: &mut bulkhead_servers::PostgresOptions| {
            options.settings.push(("shared_buffers".to_owned(), "512MB".to_owned()));
            options.settings.push(("max_locks_per_transaction".to_owned(), "256".to_owned()));
        };
        let version = Binaries::find()?.postgres_major;
        if tenants > MANY && version < FOR_MANY {
            bail!(
                "over {MANY} tenants are for PostgreSQL {FOR_MANY} or later: before it, taking on one of so many roles \
                 means going through a list of all of them; put its programs first on PATH, or take fewer --tenants"
            );
        }
        let redis = Cache::find(given.redis.as_ref()).await?;
        let cluster = match &given.postgres {
            Some(url) => Cluster::given(url).await?,
            None => Cluster::start(adjust, None).await?,
        };
        let db = TestDb::on_with(cluster, &Sets::new([CORE, RESOURCES])?).await?;
        let mut stage = Self {
            api: None,
            worker: None,
            redis,
            db,
            tenants: Vec::new(),
            built_more: AtomicUsize::new(0),
            master_key: MasterKey::generate()?,
            scratch: Scratch::new()?,
        };
        Box::pin(stage.build_tenants(tenants)).await?;
        Ok(stage)
    }

    async fn build_tenants(&mut self, wanted: usize) -> Result<()> {
        self.db
            .sql(&format!("UPDATE platform.plans SET requests_per_minute = {LIMIT}, burst = {LIMIT}"))
            .await?;
        let bar = progress("building tenants", wanted);
        let builder = self.builder().await?;
        // All are built before the first is entered: after each new role, every connection looks through all of them.
        let mut built = Vec::with_capacity(wanted);
        for number in 0..wanted {
            built.push(builder.tenant(number).await?.0);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let bar = progress("seeding tenants", wanted);
        for id in built {
            self.tenants.push(builder.seed(id).await?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.db.sql("VACUUM ANALYZE").await?;
        Ok(())
    }

    /// Builds some tenants that no load will ask for. Returns how many seconds the building took.
    pub(crate) async fn build_more(&self, tenants: usize) -> Result<f64> {
        let builder = self.builder().await?;
        let mut seconds = 0.0;
        for _ in 0..tenants {
            seconds += builder.tenant(self.one_more()).await?.1;
        }
        Ok(seconds)
    }

    /// Signs tenants up for schemas that were built ahead. Returns how many seconds each sign-up took: the order, and
    /// moving in.
    pub(crate) async fn sign_up(&self, tenants: usize) -> Result<Vec<f64>> {
        let builder = self.builder().await?;
        for _ in 0..tenants {
            let at = SystemClock.now();
            let build = async |tx: &mut _| build_ahead(tx, TenantId::mint(at), at).await;
            Box::pin(builder.owner.write(build)).await?;
        }
        let mut seconds = Vec::new();
        for _ in 0..tenants {
            let begun = Instant::now();
            let id = builder.order(self.one_more(), None).await?;
            builder.provision(id).await?;
            seconds.push(begun.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }

    async fn builder(&self) -> Result<Builder> {
        let db = self.db.db()?;
        let keyring = MasterKeys::only(self.master_key.clone()).open(&db, SystemClock.now()).await?;
        Ok(Builder { db, owner: self.db.owner()?, keyring })
    }

    /// The number of a tenant that is not on the stage.
    fn one_more(&self) -> usize {
        self.tenants.len() + self.built_more.fetch_add(1, Ordering::Relaxed)
    }

    /// The schema of every tenant there is.
    pub(crate) async fn schemas(&self) -> Result<Vec<String>> {
        let rows = self.db.sql("SELECT tenant_id FROM platform.tenant_schema_versions").await?;
        let ids = rows.into_iter().flatten().flatten();
        ids.map(|id| Ok(SchemaName::of(TenantId::from_uuid(id.parse()?)).to_string())).collect()
    }

    /// Starts the API and a worker, and waits until they serve.
    pub(crate) async fn serve(&mut self) -> Result<()> {
        self.stop();
        self.api = Some(self.api(&binary()?, &[]).await?);
        self.worker = Some(Service::start(&binary()?, "worker", &self.settings()?, &self.scratch)?);
        Ok(())
    }

    /// Starts one more API, of another program.
    pub(crate) async fn serve_beside(&self, program: Program<'_>) -> Result<Api> {
        let Program { path, without, log } = program;
        let settings = [
            (bulkhead_ablation::VARIABLE, without.to_owned()),
            ("BULKHEAD_LOG", log.to_owned()),
            // All clients ask for one tenant, whose places are free again only when an answer is written.
            ("BULKHEAD_TENANT_CONCURRENCY", (2 * CLIENTS).to_string()),
        ];
        self.api(path, &settings).await
    }

    /// Starts one more API, with other settings.
    pub(crate) async fn serve_with(&self, settings: &[(&'static str, String)]) -> Result<Api> {
        self.api(&binary()?, settings).await
    }

    async fn api(&self, program: &Path, more: &[(&'static str, String)]) -> Result<Api> {
        let port = free_port()?;
        let mut settings = self.settings()?;
        settings.push(("BULKHEAD_PORT", port.to_string()));
        settings.push(("BULKHEAD_PUBLIC_URL", format!("http://127.0.0.1:{port}")));
        settings.extend_from_slice(more);
        let api = Api { service: Service::start(program, "api", &settings, &self.scratch)?, port };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                // Connections to Redis, keys and revocations: a moment for what is done in the background.
                tokio::time::sleep(Duration::from_secs(2)).await;
                return Ok(api);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the API did not start; its log is {}", self.scratch.path().join("api.log").display())
    }

    /// Ends the product's processes.
    pub(crate) fn stop(&mut self) {
        (self.api, self.worker) = (None, None);
    }

    /// Leaves given servers as they were; private ones are gone with the stage.
    pub(crate) async fn leave(mut self) -> Result<()> {
        self.stop();
        if let Cache::Given(url) = &self.redis {
            // It was empty.
            redis_cli(url, &["FLUSHDB"])?;
        }
        self.db.cluster().clear().await
    }

    /// Whether the servers are processes of this machine that can be looked at.
    pub(crate) fn is_own(&self) -> bool {
        self.postgres_pid() != 0 && self.redis.pid().is_some()
    }

    /// Settings of every command of the product.
    pub(crate) fn settings(&self) -> Result<Vec<(&'static str, String)>> {
        let urls = self.db.urls();
        Ok(vec![
            ("BULKHEAD_LOG", QUIET.to_owned()),
            ("BULKHEAD_BIND", "127.0.0.1".to_owned()),
            ("BULKHEAD_METRICS_BIND", "127.0.0.1".to_owned()),
            ("BULKHEAD_METRICS_PORT", free_port()?.to_string()),
            ("BULKHEAD_HTTP_THREADS", THREADS.to_string()),
            ("BULKHEAD_DATABASE_CONNECTIONS_PER_THREAD", (CONNECTIONS / THREADS).to_string()),
            ("BULKHEAD_DATABASE_STATEMENTS_PER_CONNECTION", STATEMENTS.to_string()),
            ("BULKHEAD_DATABASE_TLS", "off".to_owned()),
            ("BULKHEAD_DATABASE_TENANT_URL", urls.tenant),
            ("BULKHEAD_DATABASE_PLATFORM_URL", urls.platform),
            ("BULKHEAD_DATABASE_PROVISIONER_URL", urls.provisioner),
            ("BULKHEAD_REDIS_CACHE_URL", self.redis.url()),
            ("BULKHEAD_MASTER_KEY", self.master_key.reveal()),
            ("BULKHEAD_ENVIRONMENT", "test".to_owned()),
            // Nothing is built beside what is measured.
            ("BULKHEAD_SCHEMA_POOL", "0".to_owned()),
            ("BULKHEAD_IP_REQUESTS_PER_MINUTE", ADDRESS_LIMIT.to_string()),
            ("BULKHEAD_LIMITER_TIMEOUT_MS", "1000".to_owned()),
        ])
    }

    /// Asks for every tenant a few times, until each has its own statements wherever its requests go.
    pub(crate) fn warm(&self, slice: Duration) -> Result<()> {
        let order: Vec<usize> = (0..self.tenants.len()).collect();
        let path = script(self.scratch(), "warm.lua", &wrk_script(&self.tenants, &order, Request::Read))?;
        let bar = progress("warming up", 100);
        let (mut done, enough) = (0.0, (self.tenants.len() * WARM_USES) as f64);
        while done < enough {
            done += wrk(&self.url(), &path, slice)?.requests;
            bar.set_position(percent(done / enough));
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// The address of the API.
    pub(crate) fn url(&self) -> String {
        self.api.as_ref().map(Api::url).unwrap_or_default()
    }

    /// The process of the API.
    pub(crate) fn api_pid(&self) -> u32 {
        self.api.as_ref().map_or(0, Api::pid)
    }

    /// What serves requests, with this API: itself, PostgreSQL, Redis.
    pub(crate) fn servers(&self, api: u32) -> [u32; 3] {
        [api, self.postgres_pid(), self.redis.pid().unwrap_or_default()]
    }

    /// The parent of PostgreSQL's processes.
    pub(crate) fn postgres_pid(&self) -> u32 {
        self.db.cluster().server().and_then(|server| server.pid()).unwrap_or_default()
    }

    /// The address of Redis.
    pub(crate) fn redis_url(&self) -> String {
        self.redis.url()
    }

    /// A directory for scripts.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

/// A part as whole percents.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bar on a screen")]
pub(crate) fn percent(part: f64) -> u64 {
    (part.clamp(0.0, 1.0) * 100.0) as u64
}

/// A bar for something long.
pub(crate) fn progress(what: &'static str, steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}");
    let bar = ProgressBar::new(steps as u64).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_template) => bar,
    }
}
