//! An application under test: PostgreSQL, Redis, migrations, operators, and the processes of the program.
//!
//! The tests of a process share one, started by the first that asks.

mod settings;

use std::{
    collections::BTreeSet,
    fmt::Display,
    fs,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use bulkhead_servers::{CaughtMail, MailCatcher, Redis, RedisOptions, Scratch};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    Caller, Fixture, Operation, SECONDS, body,
    contract::Contract,
    fixture::Fixtures,
    process::{Finished, Service, Variables, run},
    reference::leave_out_unknown,
    secrets,
    servers::{BINARIES, POSTGRES, Server, free_port},
    unique,
};

/// How old a token may get: half of what tokens live.
const TOKEN_AGE: Duration = Duration::from_mins(5);

static SHARED: OnceCell<App> = OnceCell::const_new();

/// What an application of a test's own has that the shared one has not.
#[doc(hidden)]
#[derive(Default)]
pub struct Options {
    /// Settings of the API, instead of or beside the usual ones.
    pub api: Variables,
    /// Those of the worker.
    pub worker: Variables,
    /// Servers that are stricter than usual.
    pub strict: Option<Strict>,
    /// Whether no mail leaves.
    pub no_mail: bool,
}

/// Servers as strict as in the cloud: nothing but TLS, and each process logs in to Redis as the user that is named after its
/// command.
#[doc(hidden)]
pub struct Strict {
    /// The database server.
    pub server: &'static Server,
    /// A Redis with these users.
    pub redis: Redis,
}

/// An operator that was made at the start.
#[doc(hidden)]
pub struct Operator {
    role: String,
    /// What it logs in with.
    pub email: String,
    /// What it logs in with.
    pub password: String,
    /// Their access token, and since when they have it.
    token: tokio::sync::Mutex<Option<(Instant, String)>>,
}

/// An application that runs, with its servers. The processes end with the one that runs the tests, however that ends.
pub struct App {
    // Before the servers that they use.
    #[doc(hidden)]
    pub services: Mutex<Vec<Service>>,
    #[doc(hidden)]
    pub redis: Mutex<Redis>,
    has_users: bool,
    #[doc(hidden)]
    pub api_port: u16,
    #[doc(hidden)]
    pub metrics_port: u16,
    worker_metrics_port: u16,
    #[doc(hidden)]
    pub master_key: String,
    #[doc(hidden)]
    pub contract: Contract,
    /// Every credential and password that a caller was given or has sent.
    pub(crate) secrets: Mutex<BTreeSet<String>>,
    program: &'static str,
    pub(crate) fixtures: Fixtures,
    server: &'static Server,
    database: String,
    operators: Vec<Operator>,
    /// Keeps the mails; without it none leave.
    mail: Option<MailCatcher>,
    #[doc(hidden)]
    pub scratch: Scratch,
}

impl App {
    /// The application that the tests of this process share: `program`, which is the path of the binary under test
    /// (`env!("CARGO_BIN_EXE_…")`), with one of `fixtures` for each resource of its own that a `POST` of what the document
    /// describes does not make. The first call starts it; it has then applied its migrations, has an operator of each role that
    /// its document knows, and serves.
    ///
    /// Fails when another program was started before, or when this one does not come up within a minute.
    pub async fn start(program: &'static str, fixtures: &[&'static dyn Fixture]) -> &'static Self {
        let start = || Self::launch(program, fixtures, "shared", Options::default());
        let app = SHARED.get_or_init(start).await;
        assert_eq!(app.program, program, "the tests of one process share one application");
        app
    }

    /// One of the test's own, in a database of this name.
    #[doc(hidden)]
    pub async fn launch(
        program: &'static str,
        fixtures: &[&'static dyn Fixture],
        database: &str,
        options: Options,
    ) -> Self {
        let scratch = Scratch::new().unwrap();
        let has_users = options.strict.is_some();
        let (server, redis) = options.strict.map_or_else(
            || {
                let redis =
                    RedisOptions { append_only: false, ..RedisOptions::new(scratch.path().join("redis")) };
                (&*POSTGRES, Redis::start(&BINARIES, redis).unwrap())
            },
            |strict| (strict.server, strict.redis),
        );
        let document = run(program, &["openapi"], &Variables::new(), "");
        assert!(document.success, "{document:?}");
        let contract = Contract::of(serde_json::from_str(&document.out).unwrap());
        // 256 bits in base64; the digits of ids are digits of base64, too.
        let random: String = [unique(), unique(), unique()].concat();
        let mut app = Self {
            services: Mutex::default(),
            redis: Mutex::new(redis),
            has_users,
            api_port: free_port(),
            metrics_port: free_port(),
            worker_metrics_port: free_port(),
            master_key: format!("{random}A="),
            operators: contract.operators_roles().map(Operator::new).collect(),
            fixtures: Fixtures::new(&contract, fixtures),
            contract,
            secrets: Mutex::default(),
            program,
            server,
            database: database.to_owned(),
            mail: (!options.no_mail)
                .then(|| MailCatcher::start(scratch.path().join("mail"), |_| {}).unwrap()),
            scratch,
        };
        let migrated = app.run(&["migrate"], &app.migrator(), "");
        assert!(migrated.success, "{migrated:?}");
        app.make_operators();
        app.serve(options.api, options.worker);
        app.wait_until_ready().await;
        // That which is served says, unlike the command, where it is served.
        app.contract = Contract::of(app.anonymous().get("/openapi.json").unchecked().await.json());
        app
    }

    /// Runs a command of the program to its end, with these variables and this on its standard input.
    #[doc(hidden)]
    pub fn run(&self, arguments: &[&str], variables: &[(&'static str, String)], input: &str) -> Finished {
        run(self.program, arguments, variables, input)
    }

    /// Side by side: the password of each is hashed.
    fn make_operators(&self) {
        let variables = self.commands();
        thread::scope(|scope| {
            for operator in &self.operators {
                scope.spawn(|| {
                    let arguments = ["operator", "create", &operator.email, "--role", &operator.role];
                    let made = self.run(&arguments, &variables, &operator.password);
                    assert!(made.success, "{made:?}");
                });
            }
        });
    }

    fn serve(&self, of_api: Variables, of_worker: Variables) {
        let logs = self.scratch.path().join("logs");
        fs::create_dir(&logs).unwrap();
        let mut api = self.commands();
        api.push(("BULKHEAD_REDIS_CACHE_URL", self.redis_url_of("api")));
        api.extend(of_api);
        let mut services = self.services.lock().unwrap();
        services.push(Service::start(self.program, "api", &api, &logs));
        let mut worker = self.worker();
        worker.extend(of_worker);
        services.push(Service::start(self.program, "worker", &worker, &logs));
    }

    /// The settings of a worker.
    #[doc(hidden)]
    pub fn worker(&self) -> Variables {
        let mut worker = self.commands();
        worker.push(("BULKHEAD_DATABASE_PROVISIONER_URL", self.provisioner_url()));
        worker.push(("BULKHEAD_METRICS_PORT", self.worker_metrics_port.to_string()));
        worker.push(("BULKHEAD_REDIS_CACHE_URL", self.redis_url_of("worker")));
        worker
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

    /// The log of the PostgreSQL server, every statement in it.
    #[doc(hidden)]
    pub fn postgres_log(&self) -> String {
        self.server.log()
    }

    /// How many threads of this name the processes under test have now.
    #[doc(hidden)]
    pub fn threads(&self, name: &str) -> usize {
        self.services.lock().unwrap().iter().map(|service| service.threads(name)).sum()
    }

    /// The mail server that the processes under test send to. It delivers nothing and keeps every mail.
    ///
    /// # Panics
    ///
    /// For an application that sends no mail.
    pub fn mail(&self) -> &MailCatcher {
        self.mail.as_ref().unwrap()
    }

    /// Waits until the address has got so many mails, and returns the newest.
    ///
    /// # Panics
    ///
    /// When they do not come within half a minute.
    pub fn mail_to(&self, address: &str, count: usize) -> CaughtMail {
        let mails = self.mail().wait_for(address, count, Duration::from_secs(30));
        assert_eq!(mails.len(), count, "mails to {address}: {mails:?}\n{}", self.logs());
        mails.last().unwrap().clone()
    }

    /// What all processes under test have logged.
    pub fn logs(&self) -> String {
        self.services.lock().unwrap().iter().map(Service::log).collect()
    }

    /// How much memory the API has resident now, in bytes.
    #[doc(hidden)]
    pub fn api_memory(&self) -> usize {
        self.services.lock().unwrap().first().unwrap().resident()
    }

    /// Fails when a process under test has ended or panicked.
    pub fn assert_alive(&self) {
        self.services.lock().unwrap().iter_mut().for_each(Service::assert_alive);
        assert_eq!(self.logs().lines().find(|line| line.contains("panicked at")), None);
    }

    /// Fails when, besides, one had to report an error of its own.
    #[doc(hidden)]
    pub fn assert_sound(&self) {
        self.assert_sound_but_for(|_| false);
    }

    /// The same, but for errors in requests with other ids.
    pub(crate) fn assert_sound_in(&self, request_id: &str) {
        self.assert_sound_but_for(|line| line.contains("\"request_id\"") && !line.contains(request_id));
    }

    fn assert_sound_but_for(&self, others: impl Fn(&str) -> bool) {
        self.assert_alive();
        let logs = self.logs();
        let mut errors = logs.lines().filter(|line| line.contains("\"level\":\"ERROR\""));
        assert_eq!(errors.find(|line| !others(line)), None);
    }

    /// Remembers what is secret in the body of a request to this operation, or of its answer.
    pub(crate) fn note_secrets(&self, operation: Option<&str>, body: &str) {
        // Bodies of megabytes hold what a test wants to be large, and parsing them would hold its other requests up.
        if body.len() > 65_536 {
            return;
        }
        let Ok(body) = serde_json::from_str::<Value>(body) else { return };
        if let Some(operation) = operation {
            secrets::note(operation, &body, &self.fixtures);
        }
        // What tests send to surprise is in the place of every field, and no secret.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || " -_.".contains(c);
        let is_one = |text: &String| (17..1_000).contains(&text.len()) && text.chars().all(is_plain);
        let found =
            secrets::in_body(&body, &self.fixtures).into_iter().map(|(_, secret)| secret).filter(is_one);
        self.secrets.lock().unwrap().extend(found);
    }

    /// The value of a gauge or a counter without labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}")).split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Waits until a gauge or a counter is as wanted.
    pub async fn await_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) {
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
    pub async fn metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics_port);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    /// What the worker tells the machines.
    pub async fn worker_metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.worker_metrics_port);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    /// What the API tells probes of ours: `status`, `database`, `redis`.
    #[doc(hidden)]
    pub async fn readiness(&self) -> Value {
        let url = format!("http://127.0.0.1:{}/readyz", self.metrics_port);
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }

    /// A caller without a credential.
    pub fn anonymous(&self) -> Caller<'_> {
        Caller::new(self)
    }

    /// How the operator with this role logs in.
    #[doc(hidden)]
    pub fn operator_login(&self, role: impl Display) -> &Operator {
        let role = role.to_string();
        let found = self.operators.iter().find(|operator| operator.role == role);
        found.unwrap_or_else(|| panic!("no operator is {role}"))
    }

    /// An operator of the platform with this role, logged in for all tests, and once more when a token gets old.
    pub async fn operator_with(&self, role: impl Display) -> Caller<'_> {
        let operator = self.operator_login(role);
        let mut token = operator.token.lock().await;
        if let Some((_, token)) = token.as_ref().filter(|(since, _)| since.elapsed() < TOKEN_AGE) {
            return self.anonymous().with_token(token);
        }
        let login = json!({ "email": operator.email, "password": operator.password });
        let fresh = self.anonymous().post("/v1/auth/login", &login).await.expect(200).at("/access_token");
        let caller = self.anonymous().with_token(&fresh);
        *token = Some((Instant::now(), fresh));
        caller
    }

    /// An operator who may do everything.
    pub async fn operator(&self) -> Caller<'_> {
        self.operator_with("admin").await
    }

    /// The operations of the application, as its OpenAPI document describes them.
    pub fn operations(&self) -> &[Operation] {
        self.contract.operations()
    }

    /// A body that the operation takes but for its references, which lead to nothing.
    #[doc(hidden)]
    pub fn body(&self, operation: &Operation) -> Value {
        let (document, schema) = (self.contract.document(), operation.body_schema());
        let mut body = body::fitting(document, schema);
        if self.fixtures.is_of_application(operation) {
            body::distinguish(document, schema, &mut body);
        }
        leave_out_unknown(self, operation, &mut body);
        match self.fixtures.find(operation) {
            Some(fixture) => fixture.body(operation, body),
            None => body,
        }
    }
}

impl Operator {
    fn new(role: &str) -> Self {
        Self {
            role: role.to_owned(),
            email: format!("{role}@bulkhead.example"),
            password: format!("operator-{}", unique()),
            token: tokio::sync::Mutex::default(),
        }
    }
}
