//! What the settings of the shares say is what happens, in one system that has them all.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bulkhead_domain::RoleName;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use super::waiting;
use crate::support::{
    Answer, Call, Caller, MakesResources, Options, System, Tenant, eventually, this_month, unique,
};

/// Threads that serve.
const THREADS: usize = 2;
/// Connections to PostgreSQL of each thread, for tenants' data and for the platform's.
const OF_TENANTS: usize = 4;
const OF_THE_PLATFORM: usize = 6;
/// As many of the platform's connections as are kept for the three sides of four that do not ask.
const KEPT: usize = 3;
/// Connections of clients.
const CLIENTS: usize = 64;
/// Bytes in flight: of all, and of each party half as many.
const BYTES: usize = 16 << 20;
/// Bytes of a resource's content.
const CONTENT: usize = 2_048;
/// Passwords that are hashed at the same time; by itself the process would hash one.
const HASHES: usize = 4;
/// Days for which a deleted tenant is kept.
const GRACE: i64 = 3;

/// Requests that are sent at once: more to each thread than it has connections of either kind.
const CROWD: usize = 14;

const ALIVE: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

async fn start() -> &'static System {
    let number = |number: usize| number.to_string();
    let api = vec![
        ("BULKHEAD_HTTP_THREADS", number(THREADS)),
        ("BULKHEAD_DATABASE_CONNECTIONS_PER_THREAD", number(OF_TENANTS)),
        ("BULKHEAD_DATABASE_PLATFORM_CONNECTIONS_PER_THREAD", number(OF_THE_PLATFORM)),
        ("BULKHEAD_DATABASE_WAIT_TIMEOUT_MS", "1000".to_owned()),
        ("BULKHEAD_CONNECTIONS", number(CLIENTS)),
        ("BULKHEAD_CONNECTIONS_PER_ADDRESS", number(CLIENTS / 2)),
        ("BULKHEAD_BYTES_IN_FLIGHT", number(BYTES)),
        ("BULKHEAD_TENANT_BYTES_IN_FLIGHT", number(BYTES / 2)),
        ("BULKHEAD_DATA_LIMIT_BYTES", number(CONTENT)),
        ("BULKHEAD_PASSWORD_HASH_THREADS", number(HASHES)),
        ("BULKHEAD_TENANT_GRACE_DAYS", GRACE.to_string()),
        ("BULKHEAD_LOG", "info".to_owned()),
    ];
    Box::leak(Box::new(System::start("settings", Options { api, ..Options::default() }).await))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_settings_say_is_what_happens() {
    let system = start().await;
    let (tenant, neighbour) = (system.tenant().await, system.tenant().await);
    // What follows counts connections to PostgreSQL, and the worker has some of its own.
    let worker = system.services.lock().unwrap().remove(1);
    worker.kill();
    connections_to_postgresql(system, &tenant, &neighbour).await;
    content_and_bytes_in_flight(system, &tenant, &neighbour).await;
    passwords_that_are_hashed(system, &tenant).await;
    passwords_that_are_stored(system, &tenant, &neighbour).await;
    connections_of_clients(system).await;
    days_of_grace(system, &tenant).await;
    system.assert_alive();
}

/// Requests that are sent at once, each on a connection of its own.
struct Crowd(Vec<JoinHandle<Answer>>);

impl Crowd {
    fn send(call: impl Fn() -> Call<'static>) -> Self {
        let send = |_| {
            let call = call().unchecked();
            tokio::spawn(async move { call.await })
        };
        Self((0..CROWD).map(send).collect())
    }

    /// Waits until all requests but `held` are answered.
    async fn all_but(&self, held: usize) {
        let left = async || self.0.iter().filter(|one| !one.is_finished()).count();
        eventually(left, |left| *left <= held).await;
    }

    /// Waits for all answers. `held` requests were held up and are answered 200; the others were refused with this
    /// status and code.
    async fn ends(self, held: usize, (status, code): (u16, &str)) {
        let answers = join_all(self.0).await.into_iter().map(Result::unwrap);
        let (served, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status == 200);
        assert_eq!(served.len(), held);
        for answer in refused {
            answer.refused(status, code);
        }
    }
}

/// How many connections the database has of this login.
fn connections(system: &System, login: &str) -> usize {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename LIKE '{login}'"
    );
    system.sql(&sql).parse().unwrap()
}

/// A tenant, and one side of the platform, has its share of the connections and no more; what it wants beyond waits, and is
/// refused, while the others are served. No process opens more connections than the settings say, however much is
/// asked.
async fn connections_to_postgresql(
    system: &'static System,
    tenant: &Tenant<'static>,
    neighbour: &Tenant<'static>,
) {
    let lock = |table: &str| system.session(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
    let path = |id: &str| format!("/v1/resources/{id}");
    let (mine, theirs) = (path(&tenant.resource("a").await), path(&neighbour.resource("b").await));
    let share = THREADS * OF_TENANTS / 2;

    let mut locks = vec![lock(&format!("{}.resources", tenant.schema()))];
    let crowd = Crowd::send(|| tenant.owner.caller.get(&mine));
    eventually(async || waiting(system, "resources"), |count| *count == share).await;
    // On both threads: each of these is a connection of its own.
    for _ in 0..2 * THREADS {
        neighbour.owner.caller.elsewhere().get(&theirs).await.expect(200);
    }

    // Two tenants hold all connections for tenants' data. Operators hold those of the platform's that are not kept
    // for other sides.
    locks.push(lock(&format!("{}.resources", neighbour.schema())));
    let another = Crowd::send(|| neighbour.owner.caller.get(&theirs));
    locks.push(lock("platform.usage_days"));
    let operator = system.operator().await;
    let report = format!("/v1/admin/tenants/{}/usage/report?period={}", tenant.id, this_month());
    let operators = Crowd::send(|| operator.get(&report));
    let held = THREADS * (OF_THE_PLATFORM - KEPT);
    eventually(async || waiting(system, "usage_days"), |count| *count == held).await;
    eventually(async || waiting(system, "resources"), |count| *count == 2 * share).await;
    let login = system.operator_login(RoleName::SUPPORT);
    let login = json!({ "email": login.email, "password": login.password });
    for _ in 0..2 * THREADS {
        system.anonymous().post("/v1/auth/login", &login).await.expect(200);
    }

    eventually(async || connections(system, "bulkhead_tenant"), |count| *count == THREADS * OF_TENANTS).await;
    let platform = connections(system, "bulkhead_platform");
    // A thread more than serve, two connections that store usage, and one that asks whether PostgreSQL answers.
    assert!(platform <= (THREADS + 1) * OF_THE_PLATFORM + 3, "{platform} connections");
    let at_most = (THREADS + 1) * (OF_TENANTS + OF_THE_PLATFORM) + 3;
    assert!(system.logs().contains(&format!("\"database_connections_at_most\":{at_most}")));
    assert_eq!(connections(system, "bulkhead%"), THREADS * OF_TENANTS + platform);

    for (crowd, held) in [(&crowd, share), (&another, share), (&operators, held)] {
        crowd.all_but(held).await;
    }
    drop(locks);
    crowd.ends(share, (429, "too-many-in-flight")).await;
    another.ends(share, (429, "too-many-in-flight")).await;
    operators.ends(held, (503, "unavailable")).await;
}

/// A request of which the head has come, and of its body nothing.
async fn announce(system: &System, authorization: &str, path: &str) -> TcpStream {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\
         Content-Type: application/json\r\nContent-Length: 1040000\r\n\r\n"
    );
    let mut socket = TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

/// When all bytes are in use, a party that is within its share is told that it is our fault. Three parties together
/// hold more than any two may.
async fn content_and_bytes_in_flight(system: &System, tenant: &Tenant<'_>, neighbour: &Tenant<'_>) {
    const IN_FLIGHT: &str = "bulkhead_bytes_in_flight";
    let (mine, theirs) = (tenant.owner.caller.authorization(), neighbour.owner.caller.authorization());
    let operator = system.operator().await.authorization();
    let mut announced = Vec::new();
    for (who, path) in [
        (&mine, "/v1/resources"),
        (&mine, "/v1/resources"),
        (&theirs, "/v1/resources"),
        (&operator, "/v1/admin/tenants"),
        (&operator, "/v1/admin/tenants"),
    ] {
        announced.push(announce(system, who, path).await);
    }
    system.await_metric(IN_FLIGHT, |bytes| bytes > 5.0 * 3.0 * 1_040_000.0).await;
    let with = |length: usize| {
        let text = "x".repeat(length - r#"{"text":""}"#.len());
        json!({ "name": "n", "kind": "k", "data": { "text": text } })
    };
    let post = |length| neighbour.owner.caller.post("/v1/resources", &with(length));
    post(500_000).unchecked().await.refused(503, "unavailable");
    drop(announced);
    system.await_metric(IN_FLIGHT, |bytes| bytes == 0.0).await;
    // It is let in now, and is larger than content may be.
    for (length, fits) in [(500_000, false), (CONTENT + 1, false), (CONTENT, true)] {
        let answer = post(length).await;
        if fits {
            answer.expect(201);
        } else {
            assert_eq!(answer.at("/errors/0/pointer"), "/data");
            answer.refused(422, "validation-failed");
        }
    }
}

async fn passwords_that_are_hashed(system: &System, tenant: &Tenant<'_>) {
    // Of one account or one address few may fail.
    let guess = async |guesser: &Caller<'_>| {
        let email = format!("{}@example.com", unique());
        let login = json!({ "tenant": tenant.slug, "email": email, "password": "a guess" });
        guesser.post("/v1/auth/login", &login).unchecked().await;
    };
    let guessers: Vec<_> = (0..2 * HASHES).map(|_| system.anonymous()).collect();
    let guessing = async {
        loop {
            join_all(guessers.iter().map(&guess)).await;
        }
    };
    // A thread that has just ended may be seen once more, so this cannot tell whether there are too many.
    let looking = async {
        while system.threads("password") < HASHES {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = looking => {}
        () = guessing => unreachable!(),
        () = tokio::time::sleep(Duration::from_secs(40)) => panic!("fewer are hashed at once"),
    }
}

/// The one new user of a neighbour does not wait behind the many new users of a tenant.
async fn passwords_that_are_stored(system: &System, tenant: &Tenant<'_>, neighbour: &Tenant<'_>) {
    const NEW: usize = 30;
    const STORED: &str = "bulkhead_auth_stored_passwords_total";
    let add = async |to: &Tenant<'_>| {
        let email = format!("{}@example.com", unique());
        let body = json!({ "email": email, "password": "correct horse", "role": "developer" });
        to.owner.caller.post("/v1/users", &body).await.expect(201);
    };
    let (before, added) = (system.metric(STORED).await, AtomicUsize::new(0));
    let crowd = (0..NEW).map(async |_| {
        add(tenant).await;
        added.fetch_add(1, Ordering::Relaxed);
    });
    let one = async {
        system.await_metric(STORED, |stored| stored >= before + NEW as f64).await;
        add(neighbour).await;
        added.load(Ordering::Relaxed)
    };
    let (_, added_before) = tokio::join!(join_all(crowd), one);
    assert!(added_before < NEW - 2 * HASHES, "it has waited for {added_before} of {NEW}");
}

/// Connections to the API's port: those that it has accepted, and those that wait until it does.
fn clients(system: &System) -> (usize, usize) {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", system.api_port);
    let established = table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        (fields[1].ends_with(&port) && fields[3] == "01").then(|| fields[9] != "0")
    });
    let (accepted, waiting): (Vec<_>, Vec<_>) = established.partition(|is_accepted| *is_accepted);
    (accepted.len(), waiting.len())
}

/// As many as there may be are accepted; further ones wait until others are closed.
async fn connections_of_clients(system: &System) {
    let mut sockets = Vec::new();
    for _ in 0..CLIENTS + 16 {
        let mut socket = TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
        socket.write_all(ALIVE).await.unwrap();
        sockets.push(socket);
    }
    // One that is being closed has given its place away a moment before the kernel shows it as closed.
    let is_full = |(accepted, waiting): &(usize, usize)| *accepted == CLIENTS && *waiting >= 16;
    eventually(async || clients(system), is_full).await;
    let mut last = sockets.pop().unwrap();
    drop(sockets);
    let mut answer = [0; 12];
    last.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

async fn days_of_grace(system: &System, tenant: &Tenant<'_>) {
    let path = format!("/v1/admin/tenants/{}", tenant.id);
    let deleted = system.operator().await.delete(&path).await.expect(200);
    let time = |pointer: &str| deleted.at(pointer).parse::<DateTime<Utc>>().unwrap();
    assert_eq!(time("/purge_after") - time("/deleted_at"), TimeDelta::days(GRACE));
}
