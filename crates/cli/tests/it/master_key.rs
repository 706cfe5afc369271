//! The master key is changed while everything runs: processes of both configurations side by side, then of the new one alone.

use std::time::{Duration, Instant};

use bulkhead_fixtures::auth::MasterKey;
use bulkhead_servers::Scratch;
use serde_json::{Value, json};

use crate::support::{
    BINARY, Finished, Options, Service, System, Variables, bulkhead, eventually, free_port,
};

/// How long a process may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn with(variables: &Variables, changes: &[(&'static str, &str)]) -> Variables {
    let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let mut variables: Variables = variables.iter().filter(|(name, _)| !is_changed(name)).cloned().collect();
    variables.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
    variables
}

/// An API and a worker of one deployment.
pub(crate) struct Deployment {
    services: Vec<Service>,
    address: String,
    worker_metrics: String,
    client: reqwest::Client,
    _logs: Scratch,
}

impl Deployment {
    pub(crate) async fn start(system: &System, keys: &[(&'static str, &str)]) -> Self {
        let logs = Scratch::new().unwrap();
        let (port, metrics, worker_metrics) = (free_port(), free_port(), free_port());
        let api = with(&system.commands(), keys);
        let api = with(
            &api,
            &[("BULKHEAD_PORT", &port.to_string()), ("BULKHEAD_METRICS_PORT", &metrics.to_string())],
        );
        let worker = with(&system.migrator(), keys);
        let worker = with(&worker, &[("BULKHEAD_METRICS_PORT", &worker_metrics.to_string())]);
        let services = vec![
            Service::start(BINARY, "api", &api, logs.path()),
            Service::start(BINARY, "worker", &worker, logs.path()),
        ];
        let mut deployment = Self {
            services,
            address: format!("http://127.0.0.1:{port}"),
            worker_metrics: format!("http://127.0.0.1:{worker_metrics}/metrics"),
            client: reqwest::Client::new(),
            _logs: logs,
        };
        deployment.wait_until_ready().await;
        deployment
    }

    async fn wait_until_ready(&mut self) {
        let start = Instant::now();
        let urls = [format!("{}/readyz", self.address), self.worker_metrics.clone()];
        for url in urls {
            while !self.client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200) {
                self.services.iter_mut().for_each(Service::assert_alive);
                assert!(start.elapsed() < PATIENCE, "{url} does not answer");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// The status and the body of an answer of its API.
    pub(crate) async fn get(&self, path: &str, credential: &str) -> (u16, Value) {
        let request = self.client.get(format!("{}{path}", self.address)).bearer_auth(credential);
        answer(request).await
    }

    async fn post(&self, path: &str, credential: Option<&str>, key: &str, body: &Value) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.address)).json(body);
        let request = if key.is_empty() { request } else { request.header("idempotency-key", key) };
        answer(match credential {
            Some(credential) => request.bearer_auth(credential),
            None => request,
        })
        .await
    }

    /// How many jobs and entries of usage its worker took for foreign.
    async fn foreign(&self) -> Vec<String> {
        let metrics = self.client.get(&self.worker_metrics).send().await.unwrap().text().await.unwrap();
        let is_counted = |line: &&str| line.starts_with("bulkhead_jobs_forged_total");
        metrics.lines().filter(is_counted).map(ToOwned::to_owned).collect()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.header("x-forwarded-for", "192.0.2.77").send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

/// What a tenant holds that was derived from keys before the change.
struct Held {
    api_key: String,
    access_token: String,
    refresh_token: String,
    cursor: String,
    key: String,
    body: Value,
    made: Value,
}

/// Everything that was given out before is good at this deployment.
async fn goes_on(deployment: &Deployment, held: &mut Held, stage: &str) {
    for credential in [&held.api_key, &held.access_token] {
        assert_eq!(deployment.get("/v1/me", credential).await.0, 200, "{stage}");
    }
    let page = deployment.get(&format!("/v1/resources?limit=1&cursor={}", held.cursor), &held.api_key).await;
    assert_eq!(page.0, 200, "{stage}: {}", page.1);
    let replayed = deployment.post("/v1/resources", Some(&held.api_key), &held.key, &held.body).await;
    assert_eq!(replayed, (201, held.made.clone()), "{stage}: it was not replayed");
    let refresh = json!({ "refresh_token": held.refresh_token });
    let (status, tokens) = deployment.post("/v1/auth/refresh", None, "", &refresh).await;
    assert_eq!(status, 200, "{stage}: {tokens}");
    held.refresh_token = tokens["refresh_token"].as_str().unwrap().to_owned();
    held.access_token = tokens["access_token"].as_str().unwrap().to_owned();
}

#[track_caller]
fn assert_refused(finished: &Finished) {
    assert!(!finished.success && finished.out.is_empty(), "{finished:?}");
    let line = "bulkhead: BULKHEAD_MASTER_KEY: opens nothing here: this database's keys are sealed with another master key\n";
    assert_eq!(finished.err, line);
}

#[tokio::test]
async fn a_master_key_is_changed_while_everything_goes_on() {
    let system = System::start("masters", Options::default()).await;
    let old = system.master_key.clone();
    let (new, stranger) = (MasterKey::generate().unwrap().reveal(), MasterKey::generate().unwrap().reveal());
    let tenant = system.tenant().await;
    let caller = &tenant.owner.caller;
    let key = json!({ "name": "a program", "role": "admin" });
    let api_key = caller.post("/v1/api-keys", &key).await.expect(201).at("/key");
    for name in ["one", "two"] {
        caller.post("/v1/resources", &json!({ "name": name, "kind": "k" })).await.expect(201);
    }
    let body = json!({ "name": "once", "kind": "k" });
    let program = system.anonymous().with_key(&api_key);
    let made =
        program.post("/v1/resources", &body).header("idempotency-key", "kept").await.expect(201).json();
    let cursor = program.get("/v1/resources?limit=1").await.expect(200).at("/next_cursor");
    let mut held = Held {
        api_key,
        access_token: tenant.owner.access_token.clone(),
        refresh_token: tenant.owner.refresh_token.clone(),
        cursor,
        key: "kept".to_owned(),
        body,
        made,
    };

    // A process whose master key is neither is refused, whatever it is; so is one that would change from a strange one.
    let strange = with(&system.migrator(), &[("BULKHEAD_MASTER_KEY", &stranger)]);
    for command in [&["api"][..], &["worker"], &["keys", "drop-masters"]] {
        assert_refused(&bulkhead(command, &strange, ""));
    }
    let changing = with(&strange, &[("BULKHEAD_MASTER_KEY_PREVIOUS", &new)]);
    assert_refused(&bulkhead(&["api"], &changing, ""));
    // One that names the same key twice changes nothing: so the change can be prepared.
    let twice = with(&system.commands(), &[("BULKHEAD_MASTER_KEY_PREVIOUS", &old)]);
    let twice = bulkhead(&["keys", "drop-masters"], &twice, "");
    assert!(twice.success && twice.out.starts_with("no master key"), "{twice:?}");

    // The first deployment, beside the processes that run.
    let both = [("BULKHEAD_MASTER_KEY", new.as_str()), ("BULKHEAD_MASTER_KEY_PREVIOUS", old.as_str())];
    let first = Deployment::start(&system, &both).await;
    goes_on(&first, &mut held, "both").await;
    // What the new ones give out is good at the old ones.
    system.anonymous().with_token(&held.access_token).get("/v1/me").await.expect(200);
    let (status, given) = first.post("/v1/api-keys", Some(&held.access_token), "", &key).await;
    assert_eq!(status, 201, "{given}");
    system.anonymous().with_key(given["key"].as_str().unwrap()).get("/v1/me").await.expect(200);
    // Whichever worker is handed a job knows it.
    for _ in 0..3 {
        system.tenant().await;
    }
    assert_eq!(forged(&system, &first).await, Vec::<String>::new());
    let listed = |variables: &Variables| bulkhead(&["keys", "list"], variables, "").out;
    let shown = listed(&with(&system.commands(), &both));
    assert!(
        shown.contains("  BULKHEAD_MASTER_KEY\n") && shown.contains("  BULKHEAD_MASTER_KEY_PREVIOUS\n"),
        "{shown}"
    );
    assert!(!shown.contains(&old) && !shown.contains(&new));

    // The second.
    let second = Deployment::start(&system, &[("BULKHEAD_MASTER_KEY", &new)]).await;
    drop(first);
    goes_on(&second, &mut held, "the new one alone").await;
    let alone = with(&system.migrator(), &[("BULKHEAD_MASTER_KEY", &new)]);
    let doctor = |variables: &Variables| {
        let seen = bulkhead(&["doctor"], variables, "");
        assert!(seen.success, "{seen:?}");
        seen.out.lines().find(|line| line.contains("master keys: ")).unwrap().to_owned()
    };
    let name = old.parse::<MasterKey>().unwrap().fingerprint().unwrap();
    assert_eq!(
        doctor(&alone),
        format!(
            "warning  master keys: {name}: not configured here, and still opens the root key: `bulkhead keys drop-masters` \
             ends that"
        )
    );
    // The end: the old key opens nothing any more.
    let dropped = bulkhead(&["keys", "drop-masters"], &alone, "");
    assert_eq!((dropped.success, dropped.out), (true, format!("dropped {name}\n")), "{}", dropped.err);
    assert!(doctor(&alone).starts_with("ok "), "{}", doctor(&alone));
    let again = bulkhead(&["keys", "drop-masters"], &alone, "");
    assert!(again.success && again.out.starts_with("no master key"), "{again:?}");
    assert_refused(&bulkhead(&["api"], &system.commands(), ""));
    let audited =
        system.sql("SELECT actor, target FROM platform.audit_log WHERE action = 'drop_master_keys'");
    assert_eq!(audited, format!("bulkhead keys|{name}"));
    drop(second);
    let third = Deployment::start(&system, &[("BULKHEAD_MASTER_KEY", &new)]).await;
    goes_on(&third, &mut held, "after the end").await;
    system.assert_sound();
}

/// What workers of two configurations took for foreign, beyond nothing.
async fn forged(system: &System, other: &Deployment) -> Vec<String> {
    let own = system.worker_metrics().await;
    let own =
        own.lines().filter(|line| line.starts_with("bulkhead_jobs_forged_total")).map(ToOwned::to_owned);
    let all: Vec<String> = own.chain(other.foreign().await).collect();
    assert!(!all.is_empty(), "nothing is counted");
    all.into_iter().filter(|line| !line.ends_with(" 0")).collect()
}

/// A leaked signing key: two nodes stop trusting its tokens, and people stay logged in.
#[tokio::test]
async fn a_withdrawn_key_is_refused_by_every_node_within_seconds() {
    let system = System::start("withdrawn", Options::default()).await;
    let other = Deployment::start(&system, &[]).await;
    let operator = system.operator().await;
    let tenant = system.tenant().await;
    let token = &tenant.owner.access_token;
    assert_eq!(other.get("/v1/me", token).await.0, 200);
    // The worker has published a key ahead.
    let list = async || operator.get("/v1/admin/keys").await.expect(200);
    let keys = eventually(list, |answer| answer.body.contains("standby")).await.json();
    let kid = |state: &str| {
        let keys = keys["data"].as_array().unwrap();
        keys.iter().find(|key| key["state"] == state).unwrap()["kid"].as_str().unwrap().to_owned()
    };
    let (active, standby) = (kid("active"), kid("standby"));
    let withdraw = json!({ "kid": active, "withdraw": true });
    // The operator's own token goes with the key, so the answer is the last that it gets.
    let answer = operator.post("/v1/admin/keys/rotate", &withdraw).await.expect(200);
    assert!(!answer.body.contains(&active) && answer.body.contains(&standby), "{}", answer.body);
    let own = async || system.anonymous().with_token(token).get("/v1/me").await;
    eventually(own, |answer| answer.status == 401).await;
    let start = Instant::now();
    while other.get("/v1/me", token).await.0 != 401 {
        assert!(start.elapsed() < PATIENCE, "the other node trusts it still");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let jwks = system.anonymous().get("/.well-known/jwks.json").unchecked().await.expect(200);
    assert!(!jwks.body.contains(&active) && jwks.body.contains(&standby), "{}", jwks.body);
    assert_eq!(jwks.header("cache-control"), "public, max-age=300");
    let refresh = json!({ "refresh_token": tenant.owner.refresh_token });
    let (status, tokens) = other.post("/v1/auth/refresh", None, "", &refresh).await;
    assert_eq!(status, 200, "{tokens}");
    system.anonymous().with_token(tokens["access_token"].as_str().unwrap()).get("/v1/me").await.expect(200);
    let audited = format!(
        "SELECT action, changes->>'withdrawn', changes->>'active' FROM platform.audit_log WHERE target = '{active}'"
    );
    assert_eq!(system.sql(&audited), format!("rotate_signing_keys|true|{standby}"));
}
