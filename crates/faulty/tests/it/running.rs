//! `dev` of an application, started for a test and stopped with it.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bulkhead_servers::Scratch;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Response;
use serde_json::Value;

/// How long a change may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Value,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let status = response.status().as_u16();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let body = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
        Self { status, location, body }
    }

    /// The code of a problem.
    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

/// One of the demo tenants.
#[derive(Clone)]
pub(crate) struct Tenant {
    http: reqwest::Client,
    api: String,
    key: String,
}

impl Tenant {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.api)).header("x-api-key", &self.key);
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.http.post(format!("{}{path}", self.api)).header("x-api-key", &self.key);
        Answer::of(request.json(body).send().await.unwrap()).await
    }

    /// The end of an operation.
    pub(crate) async fn follow(&self, accepted: &Answer) -> Value {
        let path = accepted.location.as_deref().unwrap();
        eventually(async || self.get(path).await.body, |operation| operation["done"] == true).await
    }
}

/// Asks until the answer is as wanted.
pub(crate) async fn eventually(ask: impl AsyncFn() -> Value, wanted: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "still answered so: {answer:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A running application.
pub(crate) struct Running {
    child: Child,
    http: reqwest::Client,
    scratch: Scratch,
    facts: Value,
    metrics_port: u16,
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Running {
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_of(env!("CARGO_BIN_EXE_faulty"), variables).await
    }

    pub(crate) async fn start_of(program: &str, variables: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new().unwrap();
        let metrics_port = free_port();
        let log = fs::File::create(scratch.path().join("dev.log")).unwrap();
        let child = Command::new(program)
            .arg("dev")
            .current_dir(scratch.path())
            .env("BULKHEAD_PORT", free_port().to_string())
            .env("BULKHEAD_METRICS_PORT", metrics_port.to_string())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let http = reqwest::Client::new();
        let mut running = Self { child, http, scratch, facts: Value::Null, metrics_port };
        let (start, facts) = (Instant::now(), running.scratch.path().join(".bulkhead/dev.json"));
        while !facts.exists() {
            let ended = running.child.try_wait().unwrap();
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "{ended:?}: {}", running.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        running.facts = serde_json::from_slice(&fs::read(facts).unwrap()).unwrap();
        running
    }

    pub(crate) fn tenants(&self) -> [Tenant; 2] {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        [0, 1].map(|at| Tenant {
            http: self.http.clone(),
            api: text(&self.facts["api"]),
            key: text(&self.facts["tenants"][at]["api_key"]),
        })
    }

    /// What is served without a credential.
    pub(crate) async fn text(&self, path: &str) -> String {
        let url = format!("{}{path}", self.facts["api"].as_str().unwrap());
        self.http.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// What the API tells machines.
    pub(crate) async fn machine(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.metrics_port);
        self.http.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Whatever was logged, by `dev`, the API and the worker.
    pub(crate) fn log(&self) -> String {
        let files = ["dev.log", ".bulkhead/logs/api.log", ".bulkhead/logs/worker.log"];
        let read = files.map(|file| fs::read(self.scratch.path().join(file)).unwrap_or_default());
        read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It stops its servers and its children by itself.
        let _gone = kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap_or_default()), Signal::SIGINT);
        let _status = self.child.wait();
    }
}
