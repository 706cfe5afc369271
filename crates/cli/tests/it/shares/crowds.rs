//! Crowds: many large requests, many readers that do not read, many connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::request;
use crate::support::{Options, System, Tenant};

/// What one tenant's requests and answers may hold in this system, in bytes.
const SHARE: u32 = 16 << 20;

const IN_FLIGHT: &str = "bulkhead_bytes_in_flight";

/// What crowds of one tenant may take beside what the process has when it does nothing.
const SURPLUS: usize = 200 << 20;

/// Content of many short members: a program that makes a tree of it needs the most memory for its bytes.
fn wide_body() -> String {
    let members = vec![r#"{"":0}"#; (256 << 10) / 11].join(",");
    format!(r#"{{"name":"wide","kind":"wide","data":{{"a":[{members}]}}}}"#)
}

/// Watches the API's memory until it is asked for the most that it has seen.
struct Watch {
    most: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    idle: usize,
}

impl Watch {
    fn begin(system: &'static System) -> Self {
        let watch = Self { most: Arc::default(), stop: Arc::default(), idle: system.api_memory() };
        let (most, stop) = (Arc::clone(&watch.most), Arc::clone(&watch.stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(system.api_memory(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        watch
    }

    /// Fails when the crowd so far took more than it may.
    fn assert_bounded(&self, crowd: &str) {
        let surplus = self.most.load(Ordering::Relaxed).saturating_sub(self.idle);
        eprintln!("{crowd}: {} MiB over idle", surplus >> 20);
        assert!(surplus < SURPLUS, "{crowd} took {surplus} bytes");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A system of its own, in which a reader has a second to make progress and an address few connections.
async fn crowded() -> &'static System {
    let api = vec![
        ("BULKHEAD_WRITE_TIMEOUT_SECS", "1".to_owned()),
        ("BULKHEAD_TENANT_BYTES_IN_FLIGHT", SHARE.to_string()),
        ("BULKHEAD_TRUSTED_PROXY_HOPS", "0".to_owned()),
        ("BULKHEAD_CONNECTIONS_PER_ADDRESS", "300".to_owned()),
        ("BULKHEAD_IP_REQUESTS_PER_MINUTE", "1000000".to_owned()),
        ("BULKHEAD_DATABASE_WAIT_TIMEOUT_MS", "2000".to_owned()),
        ("BULKHEAD_LOG", "info".to_owned()),
    ];
    let system = System::start("crowds", Options { api, ..Options::default() }).await;
    Box::leak(Box::new(system))
}

/// A neighbour is served, again and again, until `enough` is set; at no time do crowd and neighbour hold more than their
/// shares.
async fn is_served(neighbour: &Tenant<'_>, enough: &AtomicBool) {
    let mut served = 0;
    while !enough.load(Ordering::Relaxed) {
        neighbour.owner.caller.get("/v1/me").await.expect(200);
        let bytes = neighbour.app.metric(IN_FLIGHT).await;
        assert!(bytes <= f64::from(2 * SHARE), "{bytes} bytes in flight");
        served += 1;
    }
    assert!(served > 0);
}

/// Bodies that do not come to their end, four of which are almost all that a tenant may have. Each has come as far as this when
/// it holds so many bytes.
async fn stalled(system: &System, crowd: &Tenant<'_>, begun: &str, each: f64) -> Vec<TcpStream> {
    let head = request(crowd, "POST /v1/resources") + "Content-Type: application/json\r\n";
    let mut stalled = Vec::new();
    for number in 1..=4 {
        let mut socket = TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
        socket.write_all(format!("{head}{begun}").as_bytes()).await.unwrap();
        system.await_metric(IN_FLIGHT, |bytes| bytes >= f64::from(number) * each).await;
        stalled.push(socket);
    }
    stalled
}

/// Bodies that do not come hold the room that they announce, those that come in pieces the room for what has come of them. Behind
/// them the tenant has none, its neighbour has.
async fn bodies_that_do_not_come(system: &System, crowd: &Tenant<'_>, neighbour: &Tenant<'_>) {
    let small = json!({ "name": "large", "kind": "k", "data": { "text": "x".repeat(200_000) } });
    let announced = "Content-Length: 1040000\r\n\r\n";
    let held = stalled(system, crowd, announced, 3.0 * 1_040_000.0).await;
    crowd.owner.caller.post("/v1/resources", &small).unchecked().await.refused(429, "too-many-in-flight");
    neighbour.owner.caller.post("/v1/resources", &small).await.expect(201);
    drop(held);
    system.await_metric(IN_FLIGHT, |bytes| bytes == 0.0).await;

    let in_pieces = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}", 900_000, "x".repeat(900_000));
    let held = stalled(system, crowd, &in_pieces, 3.0 * 900_000.0).await;
    // There is room for the first pieces of another, and not for all that come.
    let head = request(crowd, "POST /v1/resources") + "Content-Type: application/json\r\n";
    let mut another = TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
    let _refused = another.write_all(format!("{head}{in_pieces}").as_bytes()).await;
    let mut answer = [0; 12];
    another.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 429");
    neighbour.owner.caller.post("/v1/resources", &small).await.expect(201);
    drop(held);
    system.await_metric(IN_FLIGHT, |bytes| bytes == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowds_of_one_tenant_take_bounded_memory_and_its_neighbour_is_served() {
    let system = crowded().await;
    let (crowd, neighbour) = (system.tenant().await, system.tenant().await);
    let body = wide_body();

    // Bodies: more at once than may be in flight.
    let watch = Watch::begin(system);
    let enough = AtomicBool::new(false);
    let writes = async {
        let post = async |_| {
            let call = crowd.owner.caller.call("POST", "/v1/resources");
            call.body("application/json", body.clone()).unchecked().await.status
        };
        let statuses = join_all((0..48).map(post)).await;
        enough.store(true, Ordering::Relaxed);
        statuses
    };
    let (statuses, ()) = tokio::join!(writes, is_served(&neighbour, &enough));
    assert!(statuses.iter().all(|status| [201, 429].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 201).count() >= 8, "{statuses:?}");
    watch.assert_bounded("bodies");

    bodies_that_do_not_come(system, &crowd, &neighbour).await;

    // Pages: each as large as a page may be.
    let enough = AtomicBool::new(false);
    let reads = async {
        let list = async |_| crowd.owner.caller.get("/v1/resources?limit=100").unchecked().await;
        let answers = join_all((0..32).map(list)).await;
        enough.store(true, Ordering::Relaxed);
        answers
    };
    let (answers, ()) = tokio::join!(reads, is_served(&neighbour, &enough));
    assert!(answers.iter().all(|answer| [200, 429].contains(&answer.status)));
    assert!(answers.iter().any(|answer| answer.status == 200 && answer.body.len() > 1 << 20));
    watch.assert_bounded("pages");

    // Readers that do not read: what they asked for waits in memory until they are cut.
    let ask = request(&crowd, "GET /v1/resources?limit=100") + "Connection: close\r\n\r\n";
    let mut readers = Vec::new();
    for _ in 0..200 {
        let mut socket = TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
        socket.write_all(ask.as_bytes()).await.unwrap();
        readers.push(socket);
    }
    system.await_metric(IN_FLIGHT, |bytes| bytes > f64::from(1 << 20)).await;
    let enough = AtomicBool::new(false);
    let readers_are_cut = async {
        system.await_metric(IN_FLIGHT, |bytes| bytes < f64::from(1 << 20)).await;
        enough.store(true, Ordering::Relaxed);
    };
    tokio::join!(readers_are_cut, is_served(&neighbour, &enough));
    watch.assert_bounded("readers");
    // They were cut, not answered: no client has the whole of an answer.
    let mut cut = 0;
    for socket in &mut readers {
        let mut answer = Vec::new();
        let ended = timeout(Duration::from_secs(30), socket.read_to_end(&mut answer)).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        cut += usize::from(text.starts_with("HTTP/1.1 200") && (ended.is_err() || !text.ends_with('}')));
    }
    assert!(cut > 0, "no reader of a page was cut");
    system.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_a_bounded_number_of_connections() {
    let api = vec![
        ("BULKHEAD_TRUSTED_PROXY_HOPS", "0".to_owned()),
        ("BULKHEAD_CONNECTIONS_PER_ADDRESS", "16".to_owned()),
        ("BULKHEAD_LOG", "info".to_owned()),
    ];
    let system = System::start("connections", Options { api, ..Options::default() }).await;
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..40 {
        let mut socket = TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
        let asked = socket.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut head = [0; 12];
        if asked.is_ok() && socket.read_exact(&mut head).await.is_ok() {
            assert_eq!(&head, b"HTTP/1.1 200");
            open.push(socket);
        } else {
            refused += 1;
        }
    }
    assert!(open.len() <= 16 && !open.is_empty() && refused >= 24, "{} open, {refused} refused", open.len());
    // One that is closed makes room for another.
    drop(open);
    let served = async || {
        let mut socket = TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
        let asked = socket.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        asked.is_ok() && socket.read_exact(&mut [0; 12]).await.is_ok()
    };
    while !served().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
