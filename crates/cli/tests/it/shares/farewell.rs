//! An orderly end: what was asked is answered, and kept-alive connections end between two requests.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Options, System};

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

/// Asks on one connection until it ends.
async fn ask(port: u16, answered: &AtomicU64) -> End {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut buffer = vec![0; 16_384];
    loop {
        if socket.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.is_err() {
            return End::Silent;
        }
        let mut answer = String::new();
        while !answer.contains("\r\n\r\n") || !answer.ends_with('}') {
            match socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return End::BrokenOff,
                Ok(length) => answer.push_str(&String::from_utf8_lossy(&buffer[..length])),
            }
        }
        answered.fetch_add(1, Ordering::Relaxed);
        if answer.to_lowercase().contains("connection: close") {
            return End::Announced;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_told_to_stop_finishes_what_it_has_read() {
    let system = System::start("farewell", Options::default()).await;
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
    assert!(ending.await.unwrap().success());
    assert!(ends.iter().all(|end| *end == End::Announced), "{ends:?}");
}
