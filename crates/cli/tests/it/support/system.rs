//! A whole system: PostgreSQL, Redis, migrations, operators, and the processes under test.
//!
//! The tests of a process share one, started by the first that asks. A test that hurts its Redis or needs other settings
//! starts one of its own, on the same PostgreSQL server in a database of its own.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::Path,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bulkhead_domain::{RoleName, access::BuiltInOperator};
use bulkhead_fixtures::CertificateAuthority;
use bulkhead_servers::{Binaries, Durability, Postgres, PostgresOptions, Redis, RedisOptions, Scratch, Tls};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{
    Caller, SECONDS, Users,
    contract::Contract,
    process::{Service, Variables, bulkhead},
    secrets, unique,
};

pub(crate) static BINARIES: LazyLock<Binaries> = LazyLock::new(|| Binaries::find().unwrap());

/// One server for all systems, and one for those that speak nothing but TLS. Never stopped by us: they stop by themselves
/// when this process has gone.
static POSTGRES: LazyLock<Server> = LazyLock::new(|| Server::start(|_| None));
static POSTGRES_WITH_TLS: LazyLock<Server> = LazyLock::new(|| {
    Server::start(|dir| {
        Some(CertificateAuthority::new().unwrap().certify("127.0.0.1", &dir.join("tls")).unwrap())
    })
});

/// A PostgreSQL server.
struct Server {
    postgres: Postgres,
    tls: Option<Tls>,
    scratch: Scratch,
}

impl Server {
    fn start(certify: impl FnOnce(&Path) -> Option<Tls>) -> Self {
        let scratch = Scratch::new().unwrap();
        let mut options = PostgresOptions::new(scratch.path().join("postgres"));
        options.durability = Durability::TestOnly;
        options.max_connections = 250;
        // What the server logs may hold no secret either.
        options.settings.push(("log_statement".to_owned(), "all".to_owned()));
        let tls = certify(scratch.path());
        options.tls.clone_from(&tls);
        Self { postgres: Postgres::start(&BINARIES, options).unwrap(), tls, scratch }
    }
}

/// The passwords of the three logins, the same in every system: the roles are the server's.
static LOGIN_PASSWORD: LazyLock<String> = LazyLock::new(|| format!("login-{}", unique()));

static SHARED: OnceCell<System> = OnceCell::const_new();

/// What a system of a test's own has that the shared one has not.
#[derive(Default)]
pub(crate) struct Options {
    /// Settings of the API, instead of or beside the usual ones.
    pub(crate) api: Variables,
    /// Whether its servers are as strict as in the cloud: nothing but TLS, and each process is a user of Redis that may do
    /// what Terraform allows.
    pub(crate) strict: bool,
}

/// An operator that was made at the start.
pub(crate) struct Operator {
    pub(crate) email: String,
    pub(crate) password: String,
    token: OnceCell<String>,
}

/// A running system.
pub(crate) struct System {
    // Before the servers that they use.
    pub(crate) services: Mutex<Vec<Service>>,
    pub(crate) redis: Mutex<Redis>,
    /// Those of Redis, on a strict system.
    pub(crate) users: Option<Users>,
    pub(crate) api_port: u16,
    pub(crate) metrics_port: u16,
    worker_metrics_port: u16,
    pub(crate) master_key: String,
    pub(crate) contract: Contract,
    /// Every credential and password that a caller was given or has sent.
    pub(crate) secrets: Mutex<BTreeSet<String>>,
    server: &'static Server,
    database: String,
    operators: [Operator; 3],
    pub(crate) scratch: Scratch,
}

impl System {
    /// The one that the tests of this process share.
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::start("bulkhead", Options::default())).await
    }

    /// One of the test's own, in a database of this name.
    pub(crate) async fn start(database: &str, options: Options) -> Self {
        let scratch = Scratch::new().unwrap();
        let server = if options.strict { &*POSTGRES_WITH_TLS } else { &*POSTGRES };
        let redis = RedisOptions {
            append_only: false,
            tls: server.tls.clone(),
            ..RedisOptions::new(scratch.path().join("redis"))
        };
        let redis = Redis::start(&BINARIES, redis).unwrap();
        let users =
            if options.strict { Some(Users::make(&redis.url(), &password_of(&redis)).await) } else { None };
        // 256 bits in base64; the digits of ids are digits of base64, too.
        let random: String = [unique(), unique(), unique()].concat();
        let mut system = Self {
            services: Mutex::default(),
            redis: Mutex::new(redis),
            users,
            api_port: free_port(),
            metrics_port: free_port(),
            worker_metrics_port: free_port(),
            master_key: format!("{random}A="),
            contract: Contract::default(),
            secrets: Mutex::default(),
            server,
            database: database.to_owned(),
            operators: BuiltInOperator::ALL.map(|role| Operator {
                email: format!("{}@bulkhead.example", role.name()),
                password: format!("operator-{}", unique()),
                token: OnceCell::new(),
            }),
            scratch,
        };
        let migrated = bulkhead(&["migrate"], &system.migrator(), "");
        assert!(migrated.success, "{migrated:?}");
        for (role, operator) in std::iter::zip(BuiltInOperator::ALL, &system.operators) {
            let role = role.name();
            let arguments = ["operator", "create", &operator.email, "--role", role.as_str()];
            let made = bulkhead(&arguments, &system.commands(), &operator.password);
            assert!(made.success, "{made:?}");
        }
        system.serve(options.api);
        system.wait_until_ready().await;
        let document = system.anonymous().get("/openapi.json").unchecked().await.json();
        system.contract = Contract::of(document);
        system
    }

    fn serve(&self, overrides: Variables) {
        let logs = self.scratch.path().join("logs");
        fs::create_dir(&logs).unwrap();
        let mut api = self.commands();
        api.push(("BULKHEAD_REDIS_CACHE_URL", self.redis_url_of("api")));
        api.extend(overrides);
        let mut services = self.services.lock().unwrap();
        services.push(Service::start("api", &api, &logs));
        let mut worker = self.commands();
        worker.push(("BULKHEAD_DATABASE_PROVISIONER_URL", self.provisioner_url()));
        worker.push(("BULKHEAD_METRICS_PORT", self.worker_metrics_port.to_string()));
        worker.push(("BULKHEAD_REDIS_CACHE_URL", self.redis_url_of("worker")));
        services.push(Service::start("worker", &worker, &logs));
    }

    async fn wait_until_ready(&self) {
        let start = Instant::now();
        loop {
            self.services.lock().unwrap().iter_mut().for_each(Service::assert_alive);
            let address = ("127.0.0.1", self.api_port);
            let listens = tokio::net::TcpStream::connect(address).await.is_ok();
            if listens && self.anonymous().get("/readyz").unchecked().await.status == 200 {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "not ready:\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The settings of a process that serves: never the administrator's or the provisioner's login.
    pub(crate) fn commands(&self) -> Variables {
        let mut variables = self.common();
        variables.extend([
            ("BULKHEAD_DATABASE_TENANT_URL", self.database_url("bulkhead_tenant")),
            ("BULKHEAD_DATABASE_PLATFORM_URL", self.database_url("bulkhead_platform")),
            ("BULKHEAD_REDIS_CACHE_URL", self.redis_url()),
            ("BULKHEAD_MASTER_KEY", self.master_key.clone()),
            ("BULKHEAD_ENVIRONMENT", "test".to_owned()),
            ("BULKHEAD_PORT", self.api_port.to_string()),
            ("BULKHEAD_METRICS_PORT", self.metrics_port.to_string()),
            ("BULKHEAD_PUBLIC_URL", "https://api.example.com".to_owned()),
            ("BULKHEAD_HTTP_THREADS", "2".to_owned()),
            // Every caller has an address of its own, in the header that this proxy would write.
            ("BULKHEAD_TRUSTED_PROXY_HOPS", "1".to_owned()),
            // A busy machine is no outage.
            ("BULKHEAD_LIMITER_TIMEOUT_MS", "1000".to_owned()),
            ("BULKHEAD_REQUEST_TIMEOUT_MS", "60000".to_owned()),
            ("BULKHEAD_DATABASE_WAIT_TIMEOUT_MS", "30000".to_owned()),
            // Secrets are looked for in everything that can be logged.
            ("BULKHEAD_LOG", "debug".to_owned()),
        ]);
        variables
    }

    /// The settings of `bulkhead migrate`, and of `doctor`.
    pub(crate) fn migrator(&self) -> Variables {
        let mut variables = self.commands();
        let admin = self.superuser_url();
        // `psql` is told about TLS in the address; here it has a setting of its own.
        let admin = admin.split('?').next().unwrap_or_default();
        variables.extend([
            ("BULKHEAD_DATABASE_ADMIN_URL", admin.to_owned()),
            ("BULKHEAD_DATABASE_PROVISIONER_URL", self.provisioner_url()),
        ]);
        variables
    }

    fn common(&self) -> Variables {
        let tls = self.server.tls.as_ref().map_or_else(
            || vec![("BULKHEAD_DATABASE_TLS", "off".to_owned())],
            |tls| {
                ["BULKHEAD_DATABASE_CA_FILE", "BULKHEAD_REDIS_CA_FILE"]
                    .map(|name| (name, tls.ca.display().to_string()))
                    .to_vec()
            },
        );
        let mut variables = vec![
            ("BULKHEAD_BIND", "127.0.0.1".to_owned()),
            ("BULKHEAD_METRICS_BIND", "127.0.0.1".to_owned()),
            ("BULKHEAD_DATABASE_CONNECT_TIMEOUT_MS", "30000".to_owned()),
            ("BULKHEAD_STATEMENT_TIMEOUT_MS", "30000".to_owned()),
            ("BULKHEAD_LOCK_TIMEOUT_MS", "20000".to_owned()),
            ("BULKHEAD_IDLE_IN_TRANSACTION_TIMEOUT_MS", "30000".to_owned()),
        ];
        variables.extend(tls);
        variables
    }

    fn redis_url(&self) -> String {
        let redis = self.redis.lock().unwrap();
        redis.tls_url().unwrap_or_else(|| redis.url())
    }

    /// How a process of this command logs in to Redis.
    fn redis_url_of(&self, command: &str) -> String {
        let user = if self.users.is_some() { command } else { "default" };
        self.redis_url().replacen("//default:", &format!("//{user}:"), 1)
    }

    fn database_url(&self, login: &str) -> String {
        let port = self.server.postgres.port();
        format!("postgres://{login}:{}@127.0.0.1:{port}/{}", *LOGIN_PASSWORD, self.database)
    }

    pub(crate) fn provisioner_url(&self) -> String {
        self.database_url("bulkhead_provisioner")
    }

    /// The superuser's way to the database.
    pub(crate) fn superuser_url(&self) -> String {
        self.server.postgres.superuser_url(&self.database)
    }

    /// The log of the PostgreSQL server, every statement in it.
    pub(crate) fn postgres_log(&self) -> String {
        let log = self.server.scratch.path().join("postgres").join("server.log");
        String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned()
    }

    /// How many threads of this name the processes under test have now.
    pub(crate) fn threads(&self, name: &str) -> usize {
        self.services.lock().unwrap().iter().map(|service| service.threads(name)).sum()
    }

    /// What all processes under test have logged.
    pub(crate) fn logs(&self) -> String {
        self.services.lock().unwrap().iter().map(Service::log).collect()
    }

    /// How much memory the API has resident now, in bytes.
    pub(crate) fn api_memory(&self) -> usize {
        self.services.lock().unwrap().first().unwrap().resident()
    }

    /// Fails when a process under test has ended or panicked.
    pub(crate) fn assert_alive(&self) {
        self.services.lock().unwrap().iter_mut().for_each(Service::assert_alive);
        assert_eq!(self.logs().lines().find(|line| line.contains("panicked at")), None);
    }

    /// Fails when, besides, one had to report an error of its own.
    pub(crate) fn assert_sound(&self) {
        self.assert_alive();
        assert_eq!(self.logs().lines().find(|line| line.contains("\"level\":\"ERROR\"")), None);
    }

    /// Remembers what is secret in the body of a request to this operation, or of its answer.
    pub(crate) fn note_secrets(&self, operation: Option<&str>, body: &str) {
        // Bodies of megabytes hold what a test wants to be large, and parsing them would hold its other requests up.
        if body.len() > 65_536 {
            return;
        }
        let Ok(body) = serde_json::from_str::<Value>(body) else { return };
        if let Some(operation) = operation {
            secrets::note(operation, &body);
        }
        // What tests send to surprise is in the place of every field, and no secret.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || " -_.".contains(c);
        let is_one = |text: &String| (17..1_000).contains(&text.len()) && text.chars().all(is_plain);
        let found = secrets::in_body(&body).into_iter().map(|(_, secret)| secret).filter(is_one);
        self.secrets.lock().unwrap().extend(found);
    }

    /// The value of a gauge or a counter without labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}")).split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Waits until a gauge or a counter is as wanted.
    pub(crate) async fn await_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        let start = Instant::now();
        loop {
            let value = self.metric(name).await;
            if wanted(value) {
                return;
            }
            assert!(start.elapsed() < SECONDS, "{name} is {value}, still");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What the API tells the machines.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics_port);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    /// What the worker tells the machines.
    pub(crate) async fn worker_metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.worker_metrics_port);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    /// What the API tells probes of ours: `status`, `database`, `redis`.
    pub(crate) async fn readiness(&self) -> Value {
        let url = format!("http://127.0.0.1:{}/readyz", self.metrics_port);
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }

    /// A caller without a credential.
    pub(crate) fn anonymous(&self) -> Caller<'_> {
        Caller::new(self)
    }

    /// The operator with this role, and how it logs in.
    pub(crate) fn operator_login(&self, role: RoleName) -> &Operator {
        let found = std::iter::zip(BuiltInOperator::ALL, &self.operators)
            .find(|(its_role, _)| its_role.name() == role);
        found.unwrap().1
    }

    /// An operator, logged in once for all tests.
    pub(crate) async fn operator_with(&self, role: RoleName) -> Caller<'_> {
        let operator = self.operator_login(role);
        let log_in = || async {
            let login = json!({ "email": operator.email, "password": operator.password });
            let answer = self.anonymous().post("/v1/auth/login", &login).await.expect(200);
            answer.at("/access_token")
        };
        self.anonymous().with_token(operator.token.get_or_init(log_in).await)
    }

    /// An operator who may do everything.
    pub(crate) async fn operator(&self) -> Caller<'_> {
        self.operator_with(RoleName::ADMIN).await
    }
}

/// The password of the default user, in the address.
fn password_of(redis: &Redis) -> String {
    let url = redis.url();
    url.split(['/', ':', '@']).nth(4).unwrap().to_owned()
}

/// A loopback port that no process has, and that the system gives to none: it is below those that the system hands
/// out by itself, to outgoing connections and to servers that ask for any. This process takes each port once.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 22_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        // Test programs side by side begin in different places.
        let place = std::process::id().wrapping_mul(101).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + place % PORTS).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
