//! An orderly end: what was asked is answered, and kept-alive connections end between two requests.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{ADMITTED, request, waiting};
use crate::support::{Options, System, Tenant, eventually};

const ALIVE: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

/// How a client's connection came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The last answer said so.
    Announced,
    /// Between two answers, without a word.
    Silent,
    /// While a request was under way.
    BrokenOff,
}

/// Asks whether the process lives; the answer, or `None` when the connection ends before its last byte.
async fn alive(socket: &mut TcpStream) -> Option<String> {
    let mut buffer = vec![0; 16_384];
    let mut answer = String::new();
    while !answer.contains("\r\n\r\n") || !answer.ends_with('}') {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => answer.push_str(&String::from_utf8_lossy(&buffer[..length])),
        }
    }
    Some(answer)
}

/// Asks on one connection until it ends.
async fn ask(port: u16, answered: &AtomicU64) -> End {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    loop {
        if socket.write_all(ALIVE).await.is_err() {
            return End::Silent;
        }
        let Some(answer) = alive(&mut socket).await else { return End::BrokenOff };
        answered.fetch_add(1, Ordering::Relaxed);
        if answer.to_lowercase().contains("connection: close") {
            return End::Announced;
        }
    }
}

/// What the server sends until it ends the connection: with FIN, for a reset is an error.
async fn rest(mut socket: TcpStream) -> String {
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("the connection ends in order");
    String::from_utf8(answer).unwrap()
}

/// Connections that the process has when it is told to stop, and that it cannot be done with at once.
struct Held {
    /// Its request was answered, and the client keeps it.
    idle: TcpStream,
    /// Its request was read and waits for a lock of PostgreSQL's.
    locked: TcpStream,
    /// Of its request one half was read; this is the other.
    half: (TcpStream, &'static str),
}

impl Held {
    async fn begin(system: &System, tenant: &Tenant<'_>) -> Self {
        let connect = async || TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
        let post = |path: &str, length: usize| {
            request(tenant, &format!("POST {path}"))
                + &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
        };
        let mut idle = connect().await;
        idle.write_all(ALIVE).await.unwrap();
        assert!(alive(&mut idle).await.unwrap().starts_with("HTTP/1.1 200 OK"));

        let body = json!({ "name": "n", "kind": "k" }).to_string();
        let mut locked = connect().await;
        locked.write_all((post("/v1/resources", body.len()) + &body).as_bytes()).await.unwrap();
        eventually(async || waiting(system, "resources"), |count| *count == 1).await;

        let halves = (r#"{"name":"a program","#, r#""role":"developer"}"#);
        let mut half = connect().await;
        let before = system.metric(ADMITTED).await;
        let begun = post("/v1/api-keys", halves.0.len() + halves.1.len()) + halves.0;
        half.write_all(begun.as_bytes()).await.unwrap();
        system.await_metric(ADMITTED, |admitted| admitted > before).await;
        Self { idle, locked, half: (half, halves.1) }
    }

    /// Once nothing new is let in, the idle one ends, and each of the others is answered as soon as it can be, whatever still
    /// waits.
    async fn end(self, unlock: impl FnOnce()) {
        assert_eq!(rest(self.idle).await, "");
        let (mut half, other) = self.half;
        half.write_all(other.as_bytes()).await.unwrap();
        let answers = [rest(half).await, {
            unlock();
            rest(self.locked).await
        }];
        for answer in answers {
            let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
            assert!(head.starts_with("http/1.1 201 created"), "{answer}");
            assert!(head.contains("connection: close") && answer.ends_with('}'), "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_told_to_stop_finishes_what_it_has_read() {
    let system = System::start("farewell", Options::default()).await;
    let tenant = system.tenant().await;
    let lock = system.session(&format!("BEGIN; LOCK TABLE {}.resources IN EXCLUSIVE MODE", tenant.schema()));
    let held = Held::begin(&system, &tenant).await;
    let answered = Arc::new(AtomicU64::default());
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let (port, answered) = (system.api_port, Arc::clone(&answered));
            tokio::spawn(async move { ask(port, &answered).await })
        })
        .collect();
    while answered.load(Ordering::Relaxed) < 1_000 {
        tokio::task::yield_now().await;
    }
    let mut api = system.services.lock().unwrap().remove(0);
    let ending = tokio::task::spawn_blocking(move || api.terminate());
    let mut ends = Vec::new();
    for client in clients {
        ends.push(client.await.unwrap());
    }
    assert!(ends.iter().all(|end| *end == End::Announced), "{ends:?}");
    // From here on the process has stopped to listen, and would be done if nothing was under way.
    while TcpStream::connect(("127.0.0.1", system.api_port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
    held.end(|| drop(lock)).await;
    assert!(ending.await.unwrap().success());
    assert_eq!((tenant.count("resources"), tenant.count("api_keys")), (1, 1));
}
