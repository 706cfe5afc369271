//! What is measured: PostgreSQL, Redis, tenants, and the product's own processes, all started here and gone afterwards.
//!
//! What is measured is the `bulkhead` that was built beside this program.

use std::{
    env, fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use bulkhead_auth::{Keyring, MasterKey, api_key};
use bulkhead_db::{
    Authority, Db, DbError, Owner,
    migrate::TENANT_MIGRATIONS,
    platform::tenants::{self, NewTenant},
    provision::provision_tenant,
    tenant::{
        api_keys::{self, NewApiKey},
        resources::{self, NewResource},
    },
};
use bulkhead_domain::{
    ApiKeyId, Clock as _, Ground, JobId, Plan, Proven, ResourceId, Role, SchemaName, Slug, SystemClock,
    TenantId, UserId,
};
use bulkhead_servers::Scratch;
use bulkhead_testkit::{Cluster, TestDb, TestRedis};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// Connections to PostgreSQL, of the product and of pgbench alike.
pub(crate) const CONNECTIONS: u32 = 8;
/// Threads of the API.
pub(crate) const THREADS: u32 = 2;
/// What every tenant may do, so that no run meets its limit: requests per minute, and at once. Ten times the largest plan.
const LIMIT: u32 = 100_000;
/// What the one address that all load comes from may do per minute: the most that can be set.
const ADDRESS_LIMIT: u32 = 10_000_000;

/// A tenant to be asked for something.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) schema: String,
    /// Its API key.
    pub(crate) key: String,
    /// A resource of it, as a path of the API.
    pub(crate) path: String,
    /// The same, as the database knows it.
    pub(crate) resource: String,
}

/// Everything that runs.
pub(crate) struct Stage {
    // Before the servers that they use.
    services: Vec<Service>,
    pub(crate) db: TestDb,
    redis: TestRedis,
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) api_port: u16,
    master_key: MasterKey,
    scratch: Scratch,
}

impl Stage {
    /// Servers and tenants. Nothing of the product runs yet.
    pub(crate) async fn build(tenants: usize) -> Result<Self> {
        let adjust = |options: &mut bulkhead_servers::PostgresOptions| {
            options.settings.push(("shared_buffers".to_owned(), "512MB".to_owned()));
            options.settings.push(("max_locks_per_transaction".to_owned(), "256".to_owned()));
        };
        let db = TestDb::on(Cluster::start(adjust, None).await?).await?;
        let stage = Self {
            services: Vec::new(),
            redis: TestRedis::start_with(|options| options.append_only = true).await?,
            db,
            tenants: Vec::new(),
            api_port: free_port()?,
            master_key: MasterKey::generate()?,
            scratch: Scratch::new()?,
        };
        stage.with_tenants(tenants).await
    }

    async fn with_tenants(mut self, wanted: usize) -> Result<Self> {
        self.db
            .sql(&format!("UPDATE platform.plans SET requests_per_minute = {LIMIT}, burst = {LIMIT}"))
            .await?;
        let bar = progress("building tenants", wanted);
        let builder =
            Builder { db: self.db.db()?, owner: self.db.owner()?, keyring: Keyring::new(&self.master_key)? };
        for number in 0..wanted {
            self.tenants.push(builder.tenant(number).await?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.db.sql("VACUUM ANALYZE").await?;
        Ok(self)
    }

    /// Starts the API and a worker, with these settings beside the usual ones, and waits until they serve.
    pub(crate) async fn serve(&mut self, settings: &[(&'static str, &str)]) -> Result<()> {
        self.services.clear();
        let urls = self.db.urls();
        let mut variables = vec![
            ("BULKHEAD_BIND", "127.0.0.1".to_owned()),
            ("BULKHEAD_METRICS_BIND", "127.0.0.1".to_owned()),
            ("BULKHEAD_PORT", self.api_port.to_string()),
            ("BULKHEAD_PUBLIC_URL", format!("http://127.0.0.1:{}", self.api_port)),
            ("BULKHEAD_HTTP_THREADS", THREADS.to_string()),
            ("BULKHEAD_DATABASE_CONNECTIONS_PER_THREAD", (CONNECTIONS / THREADS).to_string()),
            ("BULKHEAD_DATABASE_TLS", "off".to_owned()),
            ("BULKHEAD_DATABASE_TENANT_URL", urls.tenant),
            ("BULKHEAD_DATABASE_PLATFORM_URL", urls.platform),
            ("BULKHEAD_DATABASE_PROVISIONER_URL", urls.provisioner),
            ("BULKHEAD_REDIS_CACHE_URL", self.redis.url()),
            ("BULKHEAD_MASTER_KEY", self.master_key.reveal()),
            ("BULKHEAD_ENVIRONMENT", "test".to_owned()),
            ("BULKHEAD_IP_REQUESTS_PER_MINUTE", ADDRESS_LIMIT.to_string()),
            ("BULKHEAD_LIMITER_TIMEOUT_MS", "1000".to_owned()),
        ];
        variables.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        for command in ["api", "worker"] {
            let mut variables = variables.clone();
            variables.push(("BULKHEAD_METRICS_PORT", free_port()?.to_string()));
            self.services.push(Service::start(command, &variables, &self.scratch)?);
        }
        self.wait_until_ready().await
    }

    /// Ends the product's processes.
    pub(crate) fn stop(&mut self) {
        self.services.clear();
    }

    /// The settings of `bulkhead migrate`.
    pub(crate) fn migrator(&self) -> Vec<(&'static str, String)> {
        let urls = self.db.urls();
        vec![
            ("BULKHEAD_DATABASE_TLS", "off".to_owned()),
            ("BULKHEAD_DATABASE_TENANT_URL", urls.tenant),
            ("BULKHEAD_DATABASE_PLATFORM_URL", urls.platform),
            ("BULKHEAD_DATABASE_PROVISIONER_URL", urls.provisioner),
            ("BULKHEAD_REDIS_CACHE_URL", self.redis.url()),
            ("BULKHEAD_MASTER_KEY", self.master_key.reveal()),
        ]
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if std::net::TcpStream::connect(("127.0.0.1", self.api_port)).is_ok() {
                // Connections to Redis, keys and revocations: a moment for what is done in the background.
                tokio::time::sleep(Duration::from_secs(2)).await;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the API did not start; its log is {}", self.scratch.path().join("api.log").display())
    }

    /// The address of a path of the API.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    /// The process of the API.
    pub(crate) fn api_pid(&self) -> u32 {
        self.services.iter().find(|service| service.name == "api").map_or(0, |service| service.child.id())
    }

    /// What serves requests: the API, PostgreSQL, Redis.
    pub(crate) fn servers(&self) -> [u32; 3] {
        [self.api_pid(), self.postgres_pid(), self.redis.pid().unwrap_or_default()]
    }

    /// The parent of PostgreSQL's processes.
    pub(crate) fn postgres_pid(&self) -> u32 {
        self.db.cluster().server().pid().unwrap_or_default()
    }

    /// A directory for scripts.
    pub(crate) fn scratch(&self) -> &std::path::Path {
        self.scratch.path()
    }
}

struct Builder {
    db: Db,
    owner: Owner,
    keyring: Keyring,
}

impl Builder {
    async fn tenant(&self, number: usize) -> Result<Tenant> {
        let at = SystemClock.now();
        let id = TenantId::mint(at);
        let slug: Slug = format!("bench-{number}").parse()?;
        let email = format!("owner@{slug}.example");
        let new = NewTenant {
            id,
            slug: &slug,
            name: "A benchmark's",
            plan: Plan::Enterprise,
            owner: UserId::mint(at),
            owner_email: &email,
            owner_password_hash: "not a hash: nobody logs in",
            at,
        };
        let order = async |tx: &mut _| tenants::insert(tx, &new).await.map(drop);
        self.db.platform_write::<_, DbError>(Authority::Machinery, order).await?;
        let job = JobId::mint(at);
        self.owner.write(async |tx| provision_tenant(tx, TENANT_MIGRATIONS, id, job, at).await).await?;
        let key_id = ApiKeyId::mint(at);
        let (key, mac) = api_key::issue(&self.keyring, "test", id, key_id)?;
        let resource = ResourceId::mint(at);
        let furnish = async |tx: &mut _| {
            let new = NewApiKey {
                id: key_id,
                name: "bench",
                hint: key.hint(),
                mac: &mac,
                role: Role::Developer,
                created_by: "bench",
                at,
                expires_at: None,
            };
            api_keys::insert(tx, &new).await?;
            let data = json!({ "pages": 12 });
            let (name, kind, owner) = ("A resource", "document", "bench");
            resources::insert(tx, &NewResource { id: resource, name, kind, data: &data, owner, at }).await
        };
        self.db.write::<_, DbError>(Proven::on(Ground::JobRow, id), furnish).await?;
        Ok(Tenant {
            id,
            schema: SchemaName::of(id).to_string(),
            key: key.reveal().to_owned(),
            path: format!("/v1/resources/{resource}"),
            resource: resource.uuid().to_string(),
        })
    }
}

/// A process of the product; ended when dropped.
struct Service {
    name: &'static str,
    child: Child,
}

impl Service {
    fn start(name: &'static str, variables: &[(&'static str, String)], scratch: &Scratch) -> Result<Self> {
        let log = fs::File::create(scratch.path().join(format!("{name}.log")))?;
        let child = Command::new(binary()?)
            .args([name, "--stop-with-stdin"])
            .env_clear()
            .env("BULKHEAD_LOG", "warn")
            .envs(variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting bulkhead {name}"))?;
        Ok(Self { name, child })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The `bulkhead` that was built with this program, and as it was: figures of a debug build say nothing, which is why only
/// `--quick` may be run with one.
pub(crate) fn binary() -> Result<PathBuf> {
    let binary = env::current_exe()?.with_file_name("bulkhead");
    if !binary.exists() {
        bail!("run `make bench`, which builds {} first", binary.display());
    }
    Ok(binary)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
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
