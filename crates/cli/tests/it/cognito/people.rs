//! People who are made on both sides: here, and in a pool of the platform.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bulkhead_testkit::{Caller, Service, Tenant};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Emulator, PASSWORD, Pool, REGION};
use crate::support::{BINARY, Options, System, Variables, eventually, unique};

const CREATE: &str = "AdminCreateUser";

/// What becomes of requests for an action.
#[derive(Clone, Copy)]
enum Way {
    Open,
    /// It does not get there.
    HeldBefore,
    /// It is done, and nobody hears of it.
    HeldAfter,
    /// It is refused in the pool's place.
    Refused,
    /// Nobody listens, whatever the action.
    Away,
}

/// Stands before the emulator, as the network does.
struct Network {
    port: u16,
    way: Arc<Mutex<Way>>,
    held: Arc<AtomicUsize>,
}

impl Network {
    async fn before(emulator: &Emulator) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Self { port, way: Arc::new(Mutex::new(Way::Open)), held: Arc::default() };
        let (way, held, behind) = (Arc::clone(&network.way), Arc::clone(&network.held), emulator.0.port);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (way, held) = (Arc::clone(&way), Arc::clone(&held));
                tokio::spawn(async move { pass(stream, behind, &way, &held).await });
            }
        });
        network
    }

    fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    /// Waits until so many requests were held.
    async fn await_held(&self, count: usize) {
        eventually(async || self.held.load(Ordering::SeqCst), |held| *held >= count).await;
    }
}

/// One request and its answer. Its end, whatever it is, is the end of the connection.
async fn pass(mut client: TcpStream, behind: u16, way: &Mutex<Way>, held: &AtomicUsize) -> Option<()> {
    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
    let text = loop {
        let read = client.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let length =
            text.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
        if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length.unwrap_or(0)) {
            break text;
        }
    };
    let way = *way.lock().unwrap();
    let is_it = text.contains(&CREATE.to_lowercase());
    let for_ever = async || {
        held.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    };
    match way {
        Way::Away => return None,
        Way::HeldBefore if is_it => for_ever().await,
        Way::Refused if is_it => {
            let body =
                json!({ "__type": "UserLambdaValidationException", "message": "Not this one." }).to_string();
            let head = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n", body.len());
            client.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
            return Some(());
        }
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", behind)).await.ok()?;
    server.write_all(&request).await.ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.ok()?;
    if is_it && matches!(way, Way::HeldAfter) {
        for_ever().await;
    }
    client.write_all(&answer).await.ok()
}

/// A system whose worker makes people in a pool.
struct World<'a> {
    pool: Pool<'a>,
    network: Network,
    system: System,
    worker: Variables,
    provider: String,
}

impl<'a> World<'a> {
    async fn start(emulator: &'a Emulator, database: &str) -> Self {
        let network = Network::before(emulator).await;
        let ports = [emulator.0.port, network.port].map(|port| format!("127.0.0.1:{port}"));
        let hosts = format!("cognito-idp.{REGION}.amazonaws.com,{}", ports.join(","));
        let api = vec![
            ("BULKHEAD_OIDC_ALLOWED_ISSUERS", hosts),
            ("BULKHEAD_DANGEROUSLY_ALLOW_PRIVATE_ISSUERS", "true".to_owned()),
        ];
        let mut worker = api.clone();
        worker.extend([
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "of the emulator".to_owned()),
            // A test sees in seconds what takes half a minute in production.
            ("BULKHEAD_WORKER_LEASE_SECS", "5".to_owned()),
            ("BULKHEAD_WORKER_SWEEP_SECS", "1".to_owned()),
        ]);
        let options = Options { api, worker: worker.clone(), ..Options::default() };
        let system = System::start(database, options).await;
        let pool = emulator.pool().await;
        let api_url = format!("http://127.0.0.1:{}/", network.port);
        let more =
            json!({ "makes_users": true, "api_url": api_url, "max_role": "owner", "creates_users": false });
        let body = pool.provider(&more);
        let made = system.operator().await.post("/v1/admin/identity-providers", &body).await.expect(201);
        assert_eq!(made.at("/makes_users"), "true");
        let provider = made.at("/id");
        Self { pool, network, system, worker, provider }
    }

    /// A tenant that takes the provider's word.
    async fn tenant(&self) -> Tenant<'_> {
        let tenant = self.system.tenant().await;
        let join = json!({ "identity_provider_id": self.provider, "default_role": "read_only", "max_role": "owner" });
        tenant.owner.caller.post("/v1/platform-identity-providers", &join).await.expect(200);
        tenant
    }

    /// Adds a person; their address and their path here.
    async fn add(&self, owner: &Caller<'_>) -> (String, String) {
        let email = format!("{}@example.com", unique());
        let body = json!({ "email": email, "role": "developer", "identity_provider_id": self.provider });
        let added = owner.post("/v1/users", &body).await.expect(201);
        assert_eq!(added.at("/account/identity_provider_id"), self.provider);
        assert_eq!(added.at("/account/state"), "asked");
        (email, format!("/v1/users/{}", added.at("/id")))
    }

    /// What the pool knows of somebody by this name; `None` when there is nobody.
    async fn there(&self, name: &str) -> Option<Value> {
        let body = json!({ "UserPoolId": self.pool.id, "Username": name });
        let (status, text) = self.pool.emulator.try_call("AdminGetUser", &body).await;
        (status == 200).then(|| serde_json::from_str(&text).unwrap())
    }

    /// How many there are in the pool.
    async fn count(&self) -> usize {
        let listed = self.pool.emulator.call("ListUsers", &json!({ "UserPoolId": self.pool.id })).await;
        listed["Users"].as_array().unwrap().len()
    }

    async fn await_linked(&self, owner: &Caller<'_>, path: &str) {
        let state = async || owner.get(path).await.expect(200).at("/account/state");
        eventually(state, |state| state == "linked").await;
    }

    async fn await_gone(&self, email: &str) {
        eventually(async || self.there(email).await, Option::is_none).await;
    }

    /// Kills the worker without a word, and starts another one.
    fn kill_worker(&self) {
        let worker = self.system.services.lock().unwrap().remove(1);
        worker.kill();
    }

    fn start_worker(&self) {
        let mut variables = self.system.worker();
        variables.extend(self.worker.clone());
        let logs = self.system.scratch.path().join("logs");
        self.system.services.lock().unwrap().push(Service::start(BINARY, "worker", &variables, &logs));
    }
}

fn attribute<'v>(user: &'v Value, name: &str) -> &'v str {
    let all = user["UserAttributes"].as_array().unwrap();
    all.iter().find(|one| one["Name"] == name).and_then(|one| one["Value"].as_str()).unwrap_or_default()
}

/// What the audit log says of the account of the person at this path.
async fn said(owner: &Caller<'_>, path: &str) -> Value {
    let id = path.rsplit('/').next().unwrap();
    let page = owner.get(&format!("/v1/audit?target={id}&action=settle_account&limit=1")).await.expect(200);
    page.json()["data"][0]["changes"].clone()
}

#[tokio::test]
async fn a_person_is_made_in_the_pool_logs_in_and_is_removed_on_both_sides() {
    let Some(emulator) = Emulator::start().await else { return };
    let world = World::start(&emulator, "people").await;
    let tenant = world.tenant().await;
    let owner = &tenant.owner.caller;
    let (email, path) = world.add(owner).await;
    world.await_linked(owner, &path).await;
    let there = world.there(&email).await.unwrap();
    for (name, value) in [
        ("email", email.as_str()),
        ("email_verified", "true"),
        ("custom:tenant_id", &tenant.id),
        ("custom:role", "tenant_owner"),
    ] {
        assert_eq!(attribute(&there, name), value, "{name}");
    }
    assert_eq!(said(owner, &path).await["made_here"], true);
    // They are sent a password, which they have changed here.
    let password =
        json!({ "UserPoolId": world.pool.id, "Username": email, "Password": PASSWORD, "Permanent": true });
    emulator.call("AdminSetUserPassword", &password).await;
    let log_in = format!("/v1/auth/federated/{}/password", world.provider);
    let body = json!({ "username": email, "password": PASSWORD });
    let tokens = world.system.anonymous().post(&log_in, &body).await.expect(200);
    let me = world.system.anonymous().with_token(&tokens.at("/access_token")).get("/v1/me").await.expect(200);
    assert_eq!(format!("/v1/users/{}", me.at("/subject")), path);
    assert_eq!(me.at("/role"), "developer");
    let own = json!({ "tenant": tenant.slug, "email": email, "password": PASSWORD });
    world.system.anonymous().post("/v1/auth/login", &own).await.refused(401, "login-failed");

    owner.delete(&path).await.expect(204);
    world.await_gone(&email).await;
    eventually(async || said(owner, &path).await["removed_there"] == true, |is_said| *is_said).await;
    // The same address again, and erased this time.
    let body = json!({ "email": email, "role": "read_only", "identity_provider_id": world.provider });
    let path = format!("/v1/users/{}", owner.post("/v1/users", &body).await.expect(201).at("/id"));
    world.await_linked(owner, &path).await;
    owner.post_nothing(&format!("{path}/erase")).await.expect(202);
    world.await_gone(&email).await;
    for outcome in ["made", "removed"] {
        let line = format!("bulkhead_identity_provider_accounts_total{{outcome=\"{outcome}\"}} 2");
        eventually(async || world.system.worker_metrics().await.contains(&line), |is_there| *is_there).await;
    }
    // Somebody who is there already is linked, and stays there.
    let (email, by_hand) = (format!("{}@example.com", unique()), "custom:tenant_id");
    let attributes = json!([{ "Name": "email", "Value": email }, { "Name": by_hand, "Value": tenant.id }]);
    let new = json!({ "UserPoolId": world.pool.id, "Username": email, "UserAttributes": attributes, "MessageAction": "SUPPRESS" });
    emulator.call(CREATE, &new).await;
    let body = json!({ "email": email, "role": "read_only", "identity_provider_id": world.provider });
    let path = format!("/v1/users/{}", owner.post("/v1/users", &body).await.expect(201).at("/id"));
    world.await_linked(owner, &path).await;
    owner.delete(&path).await.expect(204);
    eventually(async || said(owner, &path).await["removed_there"] == false, |is_said| *is_said).await;
    assert!(world.there(&email).await.is_some());
    world.system.assert_alive();
}

#[tokio::test]
async fn who_cannot_be_in_the_pool_is_nobody_here_either() {
    let Some(emulator) = Emulator::start().await else { return };
    let world = World::start(&emulator, "people_refused").await;
    let (tenant, other) = (world.tenant().await, world.system.tenant().await);
    let owner = &tenant.owner.caller;
    // A provider of a tenant's own makes nobody, and one of the platform nobody for tenants that have not said so.
    for (name, more) in [("makes_users", json!({ "makes_users": true })), ("kind", json!({}))] {
        let body = world.pool.provider(&more);
        let answer = owner.post("/v1/identity-providers", &body).await;
        if name == "makes_users" {
            let refused = answer.refused(422, "validation-failed");
            assert_eq!(refused.at("/errors/0/pointer"), "/makes_users", "{}", refused.body);
        }
    }
    let oidc = json!({ "makes_users": true, "kind": "oidc", "password_login": false, "audience": unique() });
    let refused =
        world.system.operator().await.post("/v1/admin/identity-providers", &world.pool.provider(&oidc)).await;
    assert_eq!(refused.refused(422, "validation-failed").at("/errors/0/pointer"), "/makes_users");
    let body = |provider: &str| json!({ "email": format!("{}@example.com", unique()), "role": "read_only", "identity_provider_id": provider });
    for (caller, provider) in
        [(&other.owner.caller, world.provider.as_str()), (owner, "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    {
        let refused = caller.post("/v1/users", &body(provider)).await.refused(422, "validation-failed");
        assert_eq!(refused.at("/errors/0/pointer"), "/identity_provider_id");
    }
    let mut both = body(&world.provider);
    both["password"] = json!("correct horse battery");
    let refused = owner.post("/v1/users", &both).await.refused(422, "validation-failed");
    assert_eq!(refused.at("/errors/0/pointer"), "/identity_provider_id");
    let neither = json!({ "email": "a@example.com", "role": "read_only" });
    let refused = owner.post("/v1/users", &neither).await.refused(422, "validation-failed");
    assert_eq!(refused.at("/errors/0/pointer"), "/password");

    // The pool refuses for good.
    world.network.set(Way::Refused);
    let (email, path) = world.add(owner).await;
    eventually(async || owner.get(&path).await.status, |status| *status == 404).await;
    let why = said(owner, &path).await;
    assert!(
        why["refused"].as_str().unwrap().contains("UserLambdaValidationException (400): Not this one."),
        "{why}"
    );
    assert_eq!((why["removed"].as_bool(), why["email"].as_str()), (Some(true), Some(email.as_str())));
    // It does not answer for a moment.
    world.network.set(Way::Away);
    let (email, path) = world.add(owner).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_ne!(owner.get(&path).await.expect(200).at("/account/state"), "linked");
    world.network.set(Way::Open);
    world.await_linked(owner, &path).await;
    assert!(world.there(&email).await.is_some());
    // The address is somebody's of another tenant, who stays as they are.
    let (email, theirs) = (format!("{}@example.com", unique()), "custom:tenant_id");
    let attributes = json!([{ "Name": "email", "Value": email }, { "Name": theirs, "Value": other.id }]);
    let new = json!({ "UserPoolId": world.pool.id, "Username": email, "UserAttributes": attributes, "MessageAction": "SUPPRESS" });
    emulator.call(CREATE, &new).await;
    let body = json!({ "email": email, "role": "read_only", "identity_provider_id": world.provider });
    let path = format!("/v1/users/{}", owner.post("/v1/users", &body).await.expect(201).at("/id"));
    eventually(async || owner.get(&path).await.status, |status| *status == 404).await;
    assert_eq!(attribute(&world.there(&email).await.unwrap(), theirs), other.id);
    world.system.assert_alive();
}

#[tokio::test]
async fn a_worker_that_is_killed_anywhere_leaves_one_person_on_each_side() {
    let Some(emulator) = Emulator::start().await else { return };
    let world = World::start(&emulator, "people_killed").await;
    let tenant = world.tenant().await;
    let owner = &tenant.owner.caller;
    for (round, way) in [Way::HeldBefore, Way::HeldAfter].into_iter().enumerate() {
        world.network.set(way);
        let (email, path) = world.add(owner).await;
        world.network.await_held(round + 1).await;
        world.kill_worker();
        assert_eq!(owner.get(&path).await.expect(200).at("/account/state"), "making");
        assert_eq!(world.there(&email).await.is_some(), round == 1);
        world.network.set(Way::Open);
        world.start_worker();
        world.await_linked(owner, &path).await;
        assert_eq!(world.count().await, round + 1);
        // It was ours, whoever has heard of it: so it goes with its person.
        assert_eq!(said(owner, &path).await["made_here"], true);
    }
    // Somebody is removed while the pool makes them, and nobody hears that it has.
    world.network.set(Way::HeldAfter);
    let (email, path) = world.add(owner).await;
    world.network.await_held(3).await;
    owner.delete(&path).await.expect(204);
    assert!(world.there(&email).await.is_some());
    world.network.set(Way::Open);
    world.await_gone(&email).await;
    assert_eq!(world.count().await, 2);
    world.system.assert_alive();
}
