//! A system whose every part can be killed.

use std::time::{Duration, Instant};

use bulkhead_domain::{Clock, SystemClock};
use bulkhead_servers::{Binaries, Durability, Postgres, PostgresOptions, Redis, RedisOptions, Scratch};
use nix::sys::signal::Signal;
use reqwest::Client;
use serde_json::{Value, json};

use super::load::Counted;
use crate::support::{BINARY, Service, Variables, bulkhead, free_port};

const DATABASE: &str = "bulkhead";
const PASSWORD: &str = "correct-horse-battery-staple";
const OPERATOR: &str = "operator@bulkhead.example";
/// How long the system may take to settle after a fault: reconnections, leases and re-sends included.
pub(super) const SETTLING: Duration = Duration::from_secs(60);

pub(crate) struct World {
    api: Option<Service>,
    worker: Option<Service>,
    pub(super) redis: Redis,
    pub(crate) postgres: Postgres,
    port: u16,
    metrics_port: u16,
    master_key: String,
    http: Client,
    token: String,
    /// One API key of each tenant under load.
    pub(crate) keys: Vec<String>,
    tenants: Vec<String>,
    /// Everything that the clients have counted so far.
    expected: Counted,
    ordered: u32,
    scratch: Scratch,
}

impl World {
    pub(crate) async fn start() -> Self {
        let scratch = Scratch::new().unwrap();
        let binaries = Binaries::find().unwrap();
        let mut options = PostgresOptions::new(scratch.path().join("postgres"));
        options.durability = Durability::TestOnly;
        let redis = RedisOptions { append_only: true, ..RedisOptions::new(scratch.path().join("redis")) };
        let mut world = Self {
            api: None,
            worker: None,
            redis: Redis::start(&binaries, redis).unwrap(),
            postgres: Postgres::start(&binaries, options).unwrap(),
            port: free_port(),
            metrics_port: free_port(),
            master_key: "ZmF1bHRzLXRlc3RzLXVzZS10aGlzLW9uZS1rZXktMzI=".to_owned(),
            http: Client::builder().timeout(Duration::from_secs(30)).build().unwrap(),
            token: String::new(),
            keys: Vec::new(),
            tenants: Vec::new(),
            expected: Counted::default(),
            ordered: 0,
            scratch,
        };
        std::fs::create_dir(world.logs()).unwrap();
        let migrated = bulkhead(&["migrate"], &world.variables(), "");
        assert!(migrated.success, "{migrated:?}");
        let operator = bulkhead(&["operator", "create", OPERATOR], &world.variables(), PASSWORD);
        assert!(operator.success, "{operator:?}");
        world.start_api();
        world.start_worker();
        world.wait_until_ready().await;
        world.token = world.log_in(&json!({ "email": OPERATOR, "password": PASSWORD })).await;
        let operations = world.order_tenants(3).await;
        world.await_built("the start", operations).await;
        for tenant in 1..=3 {
            world.seed(tenant).await;
        }
        world
    }

    /// The tenant's owner logs in and makes a key; the making is the first request that counts.
    async fn seed(&mut self, tenant: u32) {
        let login = json!({ "tenant": slug(tenant), "email": owner(tenant), "password": PASSWORD });
        let token = self.log_in(&login).await;
        let key = json!({ "name": "load", "role": "developer" });
        let made =
            self.http.post(self.url("/v1/api-keys")).bearer_auth(token).json(&key).send().await.unwrap();
        assert_eq!(made.status(), 201);
        let made: Value = made.json().await.unwrap();
        self.keys.push(made["key"].as_str().unwrap().to_owned());
        self.expected.answered += 1;
    }

    async fn log_in(&self, login: &Value) -> String {
        let answer = self.http.post(self.url("/v1/auth/login")).json(login).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn logs(&self) -> std::path::PathBuf {
        self.scratch.path().join("logs")
    }

    fn variables(&self) -> Variables {
        let database = |login: &str| {
            format!("postgres://{login}:login-password@127.0.0.1:{}/{DATABASE}", self.postgres.port())
        };
        vec![
            ("BULKHEAD_BIND", "127.0.0.1".to_owned()),
            ("BULKHEAD_METRICS_BIND", "127.0.0.1".to_owned()),
            ("BULKHEAD_METRICS_PORT", self.metrics_port.to_string()),
            ("BULKHEAD_PORT", self.port.to_string()),
            ("BULKHEAD_DATABASE_TLS", "off".to_owned()),
            ("BULKHEAD_DATABASE_ADMIN_URL", self.postgres.superuser_url(DATABASE)),
            ("BULKHEAD_DATABASE_TENANT_URL", database("bulkhead_tenant")),
            ("BULKHEAD_DATABASE_PLATFORM_URL", database("bulkhead_platform")),
            ("BULKHEAD_DATABASE_PROVISIONER_URL", database("bulkhead_provisioner")),
            ("BULKHEAD_REDIS_CACHE_URL", self.redis.url()),
            ("BULKHEAD_MASTER_KEY", self.master_key.clone()),
            ("BULKHEAD_HTTP_THREADS", "2".to_owned()),
            ("BULKHEAD_IP_REQUESTS_PER_MINUTE", "1000000".to_owned()),
            // A test sees in seconds what takes a minute in production.
            ("BULKHEAD_USAGE_RESEND_SECS", "1".to_owned()),
            ("BULKHEAD_USAGE_BUFFER_SECS", "4".to_owned()),
            ("BULKHEAD_WORKER_LEASE_SECS", "5".to_owned()),
            ("BULKHEAD_WORKER_SWEEP_SECS", "1".to_owned()),
        ]
    }

    pub(super) fn start_api(&mut self) {
        self.api = Some(Service::start(BINARY, "api", &self.variables(), &self.logs()));
    }

    pub(super) fn start_worker(&mut self) {
        let mut variables = self.variables();
        variables.push(("BULKHEAD_METRICS_PORT", free_port().to_string()));
        self.worker = Some(Service::start(BINARY, "worker", &variables, &self.logs()));
    }

    /// What it has logged.
    pub(super) fn kill_api(&mut self) -> String {
        self.api.take().unwrap().kill()
    }

    pub(super) fn signal_api(&self, signal: Signal) {
        self.api.as_ref().unwrap().signal(signal);
    }

    pub(super) fn kill_worker(&mut self) {
        drop(self.worker.take().unwrap().kill());
    }

    /// Redis forgets everything it knows, and answers on.
    pub(super) async fn flush_redis(&self) {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
    }

    /// What was in the stream is in the rollups: entries are deleted after their batches are committed.
    pub(super) async fn await_drained(&self) {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let start = Instant::now();
        loop {
            let left: u64 = redis::cmd("XLEN").arg("bh:usage").query_async(&mut connection).await.unwrap();
            if left == 0 {
                return;
            }
            assert!(start.elapsed() < SETTLING, "{left} entries are left in the stream; {}", self.tails());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn wait_until_ready(&self) {
        let start = Instant::now();
        loop {
            let ready = self.http.get(self.url("/readyz")).send().await;
            if ready.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            assert!(start.elapsed() < SETTLING, "not ready; {}", self.tails());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Orders so many tenants; their operations.
    pub(super) async fn order_tenants(&mut self, count: u32) -> Vec<String> {
        let mut operations = Vec::new();
        for _ in 0..count {
            self.ordered += 1;
            let owner = json!({ "email": owner(self.ordered), "password": PASSWORD });
            let slug = slug(self.ordered);
            let order = json!({ "slug": slug, "name": "Load", "plan": "enterprise", "owner": owner });
            let request = self.http.post(self.url("/v1/admin/tenants")).bearer_auth(&self.token).json(&order);
            let accepted = request.send().await.unwrap();
            assert_eq!(accepted.status(), 202);
            let accepted: Value = accepted.json().await.unwrap();
            self.tenants.push(accepted["result"]["tenant"].as_str().unwrap().to_owned());
            operations.push(accepted["id"].as_str().unwrap().to_owned());
        }
        operations
    }

    async fn ask(&self, path: &str) -> Value {
        let answer = self.http.get(self.url(path)).bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// Every operation succeeds, and the tenant's owner can log in.
    pub(super) async fn await_built(&self, after: &str, operations: Vec<String>) {
        let start = Instant::now();
        for operation in operations {
            loop {
                let answer = self.ask(&format!("/v1/operations/{operation}")).await;
                if answer["done"] == true {
                    assert_eq!(answer["state"], "succeeded", "after {after}: {answer}");
                    break;
                }
                assert!(start.elapsed() < SETTLING, "after {after}: {answer}; {}", self.tails());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let login =
            json!({ "tenant": slug(self.ordered), "email": owner(self.ordered), "password": PASSWORD });
        self.log_in(&login).await;
    }

    /// So many billable answers were given besides.
    pub(crate) fn expect_answered(&mut self, count: u64) {
        self.expected.answered += count;
    }

    pub(super) fn tally(&mut self, counted: &Counted) {
        self.expected.answered += counted.answered;
        self.expected.unknown += counted.unknown;
    }

    /// The bill comes to what was answered, plus at most the requests whose answer never came; and stays there.
    pub(crate) async fn await_billed(&mut self, after: &str) {
        let Counted { answered, unknown } = self.expected;
        let start = Instant::now();
        let mut billed = 0;
        while !(answered..=answered + unknown).contains(&billed) {
            assert!(billed <= answered + unknown, "after {after}: {billed} billed of {:?}", self.expected);
            assert!(
                start.elapsed() < SETTLING,
                "after {after}: {billed} billed of {:?}; {}",
                self.expected,
                self.tails()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
            billed = self.billed().await;
        }
        // Whatever is still on its way must change nothing.
        self.await_confirmed().await;
        self.await_drained().await;
        let later = self.billed().await;
        assert!(
            (billed..=answered + unknown).contains(&later),
            "after {after}: {billed}, then {later} billed"
        );
        eprintln!("{after}: {later} billed, {answered} answered, {unknown} unknown");
        // From here on the unknown are known.
        self.expected = Counted { answered: later, unknown: 0 };
    }

    /// PostgreSQL has confirmed every batch that the API holds, so that it sends none of them again.
    async fn await_confirmed(&self) {
        let start = Instant::now();
        loop {
            let url = format!("http://127.0.0.1:{}/metrics", self.metrics_port);
            let metrics = self.http.get(url).send().await.unwrap().text().await.unwrap();
            let value =
                |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            let held = ["bulkhead_usage_batches_in_flight", "bulkhead_usage_buffer_bytes"].map(value);
            if held == [Some(0_u64), Some(0)] {
                return;
            }
            assert!(start.elapsed() < SETTLING, "{held:?} batches and bytes are held; {}", self.tails());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn billed(&self) -> u64 {
        self.billed_by_tenant().await.into_iter().sum()
    }

    /// In the order of their keys.
    pub(super) async fn billed_by_tenant(&self) -> Vec<u64> {
        let mut billed = Vec::new();
        for tenant in &self.tenants {
            let period = SystemClock.now().format("%Y-%m");
            let report = self.ask(&format!("/v1/admin/tenants/{tenant}/usage/report?period={period}")).await;
            let lines = report["lines"].as_array().unwrap();
            let line = lines.iter().find(|line| line["meter"] == "api_requests").unwrap();
            billed.push(line["quantity"].as_str().unwrap().parse().unwrap());
        }
        billed
    }

    /// As many schemas and roles as tenants: nothing was built twice, nothing half.
    pub(super) fn assert_no_orphans(&self) {
        let inspected = bulkhead(&["doctor"], &self.variables(), "");
        assert!(inspected.success, "{inspected:?}");
    }

    fn tails(&self) -> String {
        let tail = |service: &Option<Service>| {
            let log = service.as_ref().map(Service::log).unwrap_or_default();
            let lines: Vec<&str> =
                log.lines().filter(|line| !line.contains("\"message\":\"request\"")).collect();
            lines[lines.len().saturating_sub(8)..].join("\n")
        };
        format!("the API's log ends:\n{}\nthe worker's:\n{}", tail(&self.api), tail(&self.worker))
    }
}

fn slug(tenant: u32) -> String {
    format!("load-{tenant}")
}

fn owner(tenant: u32) -> String {
    format!("owner@load-{tenant}.example")
}
