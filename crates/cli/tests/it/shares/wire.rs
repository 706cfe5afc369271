//! How a connection is read and written: one request at a time, in its time, and to its end.

use std::time::Duration;

use futures::future::{join_all, select_all};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use super::{request, waiting};
use crate::support::{Options, System, create_tenant, eventually};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(system: &System) -> TcpStream {
    TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap()
}

/// All that the server sends until it ends the connection, however it does that.
async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ended = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// A request that any client may make.
const ALIVE: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_read_one_request_at_a_time() {
    let api = vec![
        ("BULKHEAD_IP_REQUESTS_PER_MINUTE", "1000000".to_owned()),
        ("BULKHEAD_TRUSTED_PROXY_HOPS", "0".to_owned()),
        ("BULKHEAD_WRITE_TIMEOUT_SECS", "1".to_owned()),
        ("BULKHEAD_LOG", "info".to_owned()),
    ];
    let system = System::start("wire", Options { api, ..Options::default() }).await;
    tokio::join!(
        requests_are_found_however_they_come(&system),
        a_head_has_a_size_and_a_time(&system),
        an_answer_that_comes_before_the_body_ends_the_connection_before_long(&system),
        what_is_no_body_is_refused_and_ends_the_connection(&system),
        what_a_request_need_not_have_changes_nothing(&system),
        a_connection_stays_idle_behind_an_empty_line(&system),
        a_reader_that_is_too_slow_is_cut(&system),
        a_handler_comes_to_its_end(&system),
    );
    system.assert_alive();
}

/// In one piece or in many, with bodies and without, behind empty lines and each other.
async fn requests_are_found_however_they_come(system: &System) {
    let tenant = system.tenant().await;
    let create = |how: &str, body: &str| {
        request(&tenant, "POST /v1/resources")
            + &format!("Content-Type: application/json\r\n{how}\r\n\r\n{body}")
    };
    let body = json!({ "name": "one", "kind": "k", "data": { "text": "x".repeat(5_000) } }).to_string();
    let sized = create(&format!("Content-Length: {}", body.len()), &body);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let (half, other) = body.split_at(2_600);
    let chunks = chunk(half) + &chunk(other) + "0\r\n\r\n";
    let chunked = create("Transfer-Encoding: chunked", &chunks);
    let last = create("Connection: close\r\nTransfer-Encoding: chunked", &chunks);
    let all = format!("{ALIVE}\r\n\r\n{sized}{ALIVE}{chunked}{sized}{chunked}{ALIVE}{last}");
    for piece in [all.len(), 1_000, 1_460, 7] {
        let mut socket = connect(system).await;
        socket.set_nodelay(true).unwrap();
        let (mut reader, mut writer) = socket.split();
        let send = async {
            for part in all.as_bytes().chunks(piece) {
                writer.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let mut answer = String::new();
        let (sent, read) = tokio::join!(send, timeout(PATIENCE, reader.read_to_string(&mut answer)));
        let ((), _length) = (sent, read.expect("the connection ends").unwrap());
        let statuses = [count(&answer, "HTTP/1.1 200 OK"), count(&answer, "HTTP/1.1 201 Created")];
        assert_eq!(statuses, [3, 5], "in pieces of {piece}: {answer}");
    }
    // Whichever byte the first piece ends with.
    let short = create("Transfer-Encoding: chunked", &(chunk(r#"{"name":"n","kind":"k"}"#) + "0\r\n\r\n"));
    let all = format!("{short}GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for at in short.len() - 40..all.len() {
        let mut socket = connect(system).await;
        socket.set_nodelay(true).unwrap();
        socket.write_all(&all.as_bytes()[..at]).await.unwrap();
        tokio::task::yield_now().await;
        socket.write_all(&all.as_bytes()[at..]).await.unwrap();
        let answer = rest(&mut socket).await;
        let statuses = [count(&answer, "HTTP/1.1 201 Created"), count(&answer, "HTTP/1.1 200 OK")];
        assert_eq!(statuses, [1, 1], "cut at {at}: {answer}");
    }
    // A body that no operation takes ends the connection, and what is behind it is no request.
    let refused =
        format!("POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{ALIVE}", ALIVE.len());
    let mut socket = connect(system).await;
    socket.write_all(refused.as_bytes()).await.unwrap();
    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 405") && count(&answer, "HTTP/1.1 ") == 1, "{answer}");
}

/// What a client goes on to send after it has got an answer that it did not wait for.
async fn an_answer_that_comes_before_the_body_ends_the_connection_before_long(system: &System) {
    let tenant = system.tenant().await;
    let create = request(&tenant, "POST /v1/resources");
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for (head, status) in [
        (format!("POST /nope HTTP/1.1\r\nHost: x\r\n{chunked}"), "HTTP/1.1 404"),
        (format!("GET /livez HTTP/1.1\r\nHost: x\r\n{chunked}"), "HTTP/1.1 200"),
        (format!("{create}Content-Type: text/plain\r\n{chunked}"), "HTTP/1.1 415"),
    ] {
        // Nothing, a little now and then, and as much as goes.
        let mut silent = connect(system).await;
        silent.write_all(head.as_bytes()).await.unwrap();
        let mut socket = connect(system).await;
        let (mut reader, mut writer) = socket.split();
        let drip = async {
            writer.write_all(head.as_bytes()).await.unwrap();
            while writer.write_all(b"1\r\nx\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let mut dripping = Vec::new();
        let ends = timeout(PATIENCE, reader.read_to_end(&mut dripping));
        let (answer, ended) = tokio::join!(rest(&mut silent), async {
            tokio::select! {
                ended = ends => ended.is_ok(),
                () = drip => true,
            }
        });
        assert!(ended, "what comes slowly is read for ever");
        assert!(answer.starts_with(status) && count(&answer, "HTTP/1.1 ") == 1, "{answer}");
        let mut socket = connect(system).await;
        socket.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536));
        let mut written = 0;
        while written < 64 << 20 && socket.write_all(chunk.as_bytes()).await.is_ok() {
            written += chunk.len();
        }
        assert!(written < 64 << 20, "{written} bytes are read for nothing");
    }
}

async fn what_is_no_body_is_refused_and_ends_the_connection(system: &System) {
    let tenant = system.tenant().await;
    let create = request(&tenant, "POST /v1/resources");
    let head = format!("{create}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    for bad in ["zz\r\n", "fffffffffffffffff\r\n", "2\n{}\n0\n\n", "2\r\n{}x"] {
        for _ in 0..5 {
            let mut socket = connect(system).await;
            socket.write_all(format!("{head}{bad}{ALIVE}").as_bytes()).await.unwrap();
            let answer = rest(&mut socket).await;
            assert!(
                answer.starts_with("HTTP/1.1 400") && count(&answer, "HTTP/1.1 ") == 1,
                "{bad:?}: {answer}"
            );
        }
    }
}

/// The API answers a GET with a body as if it had none, and a request that asks for another protocol as if it did not
/// ask.
async fn what_a_request_need_not_have_changes_nothing(system: &System) {
    let tenant = system.tenant().await;
    let body = json!({ "name": "one", "kind": "k" }).to_string();
    let sized = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let me = request(&tenant, "GET /v1/me");
    let create = request(&tenant, "POST /v1/resources");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (asked, status) in [
        (format!("{me}{sized}\r\n{body}"), "HTTP/1.1 200 OK"),
        (format!("{me}Content-Length: 300000\r\n\r\n"), "HTTP/1.1 200 OK"),
        (format!("{me}{upgrade}\r\n"), "HTTP/1.1 200 OK"),
        (format!("{create}{upgrade}{sized}\r\n{body}"), "HTTP/1.1 201 Created"),
    ] {
        let mut socket = connect(system).await;
        socket.write_all(asked.as_bytes()).await.unwrap();
        let answer = rest(&mut socket).await;
        let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
        assert!(answer.starts_with(status) && head.contains("connection: close"), "{asked}: {answer}");
    }
}

/// An empty line behind a request is not the beginning of another request.
async fn a_connection_stays_idle_behind_an_empty_line(system: &System) {
    let mut socket = connect(system).await;
    for _ in 0..2 {
        socket.write_all(ALIVE.as_bytes()).await.unwrap();
        let mut answer = [0; 15];
        timeout(PATIENCE, socket.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 200 OK");
        let mut others = [0; 4_096];
        let _others = socket.read(&mut others).await.unwrap();
        socket.write_all(b"\r\n").await.unwrap();
        // A head that begins after it, and does not end, is given up before.
        let mut begun = connect(system).await;
        begun.write_all(b"GET").await.unwrap();
        rest(&mut begun).await;
    }
}

/// This holds for the first head of a connection and for every later one.
async fn a_head_has_a_size_and_a_time(system: &System) {
    for before in ["", ALIVE] {
        // A head that is sent letter by letter, and never ends.
        let mut socket = connect(system).await;
        socket.write_all(before.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = socket.split();
        let trickle = async {
            let letters = "GET /livez HTTP/1.1\r\nX-Long: ".bytes().chain(std::iter::repeat(b'a'));
            for letter in letters {
                if writer.write_all(&[letter]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let mut answer = Vec::new();
        let ends = timeout(PATIENCE, reader.read_to_end(&mut answer));
        let ended = tokio::select! {
            ended = ends => ended,
            () = trickle => Ok(Ok(0)),
        };
        assert!(ended.is_ok(), "a head took longer than it may");
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(count(&answer, "HTTP/1.1 200 OK"), usize::from(!before.is_empty()), "{answer}");
        // A head that is too large, whether its end has come or not.
        for end in ["", "\r\n\r\n"] {
            let mut socket = connect(system).await;
            let long =
                format!("{before}GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {}{end}", "a".repeat(17_000));
            socket.write_all(long.as_bytes()).await.unwrap();
            let answer = rest(&mut socket).await;
            assert!(answer.contains("HTTP/1.1 431 "), "{answer}");
        }
    }
}

/// A reader that takes a little now and then would otherwise hold its answer in memory for as long as it likes.
async fn a_reader_that_is_too_slow_is_cut(system: &System) {
    let tenant = system.tenant().await;
    let body = json!({ "name": "n", "kind": "k", "data": { "text": "x".repeat(250_000) } });
    for _ in 0..5 {
        tenant.owner.caller.post("/v1/resources", &body).await.expect(201);
    }
    let mut socket = reluctant(system).await;
    let ask = request(&tenant, "GET /v1/resources") + "\r\n";
    socket.write_all(ask.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let (mut piece, mut taken) = ([0; 1_024], 0);
    while let Ok(length @ 1..) = socket.read(&mut piece).await {
        taken += length;
        assert!(begun.elapsed() < PATIENCE * 2, "it has taken {taken} bytes and is not cut");
        // 10 KiB a second.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(taken > 1_024 && taken < 1_000_000, "{taken} bytes of the answer came");
}

/// Whatever its sender does once it has sent it: nothing that was begun is broken off, and no connection to PostgreSQL lost.
async fn a_handler_comes_to_its_end(system: &System) {
    let tenant = create_tenant(system, "enterprise").await;
    let dropped = r#"bulkhead_db_connection_dropped_total{pool="tenant",reason="dirty"}"#;
    let before = system.metric(dropped).await;
    let lock = system.session(&format!("BEGIN; LOCK TABLE {}.resources IN EXCLUSIVE MODE", tenant.schema()));
    let body = json!({ "name": "n", "kind": "k" }).to_string();
    let head = request(&tenant, "POST /v1/resources");
    let create =
        format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut socket = connect(system).await;
    socket.write_all(create.as_bytes()).await.unwrap();
    eventually(async || waiting(system, "resources"), |count| *count == 1).await;
    // Not an orderly end, which a server may overlook, but a reset.
    socket.set_zero_linger().unwrap();
    drop(socket);
    system.anonymous().get("/livez").await.expect(200);
    drop(lock);
    eventually(async || tenant.count("resources"), |count| *count == 1).await;
    assert!(system.metric(dropped).await <= before, "a connection was lost with the request");
}

/// A connection whose client takes little at a time.
async fn reluctant(system: &System) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(([127, 0, 0, 1], system.api_port).into()).await.unwrap()
}

/// Memory is taken by requests that are worked on, not by those that a client has sent ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_sent_ahead_stay_outside() {
    let api =
        vec![("BULKHEAD_IP_REQUESTS_PER_MINUTE", "1000000".to_owned()), ("BULKHEAD_LOG", "info".to_owned())];
    let system = System::start("ahead", Options { api, ..Options::default() }).await;
    let idle = system.api_memory();
    let ahead = ALIVE.repeat(1_000);
    let send = async |_| {
        let mut socket = reluctant(&system).await;
        // The client does not read the answers, so before long the server does not read the requests either.
        while let Ok(sent) = timeout(Duration::from_secs(1), socket.write_all(ahead.as_bytes())).await {
            sent.unwrap();
        }
        socket
    };
    let mut sockets = join_all((0..16).map(send)).await;
    let surplus = system.api_memory().saturating_sub(idle);
    assert!(surplus < 16 << 20, "{surplus} bytes for requests that were sent ahead");
    // They are answered as fast as they are read.
    let mut answers = vec![0; 512 << 10];
    timeout(PATIENCE, sockets[0].read_exact(&mut answers)).await.expect("the answers come").unwrap();
    assert!(count(&String::from_utf8_lossy(&answers), "HTTP/1.1 200 OK") > 1_000);
}

/// Answers lie in memory until the kernel has taken all of them: large ones, and many small ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_answer_holds_is_counted_until_it_is_written() {
    const IN_FLIGHT: &str = "bulkhead_bytes_in_flight";
    let system = System::start("held", Options::default()).await;
    let tenant = create_tenant(&system, "enterprise").await;
    for (connections, length, requests) in [(2, 250_000, 40), (16, 50_000, 200)] {
        let body = json!({ "name": "n", "kind": "k", "data": { "text": "x".repeat(length) } });
        let made = tenant.owner.caller.post("/v1/resources", &body).await.expect(201);
        system.await_metric(IN_FLIGHT, |bytes| bytes == 0.0).await;
        // More than the kernel keeps for a connection.
        let line = format!("GET /v1/resources/{}", made.json()["id"].as_str().unwrap());
        let ask = (request(&tenant, &line) + "\r\n").repeat(requests);
        let send = async |_| {
            let mut socket = reluctant(&system).await;
            socket.write_all(ask.as_bytes()).await.unwrap();
            socket
        };
        let sockets = join_all((0..connections).map(send)).await;
        let held = f64::from(connections) * length as f64;
        // A request that is being worked on holds bytes as well, but not for ever.
        let (begun, mut times) = (Instant::now(), 0);
        while times < 20 {
            assert!(begun.elapsed() < PATIENCE, "answers that are not taken do not count");
            let is_held = system.metric(IN_FLIGHT).await >= held * 0.9;
            times = if is_held { times + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(sockets);
        system.await_metric(IN_FLIGHT, |bytes| bytes == 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_a_bounded_number_of_requests_without_a_credential() {
    let api = vec![
        ("BULKHEAD_TENANT_CONCURRENCY", "8".to_owned()),
        ("BULKHEAD_TRUSTED_PROXY_HOPS", "1".to_owned()),
        ("BULKHEAD_LOG", "info".to_owned()),
    ];
    let system = System::start("addresses", Options { api, ..Options::default() }).await;
    let tenant = system.tenant().await;
    // Nine bodies that do not come: whichever comes last is answered at once, the others wait for theirs.
    let head = "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.7\r\n\
                Content-Type: application/json\r\nContent-Length: 100\r\n\r\n";
    let send = async |_| {
        let mut socket = connect(&system).await;
        socket.write_all(head.as_bytes()).await.unwrap();
        socket
    };
    let mut held = join_all((0..9).map(send)).await;
    let status = async |socket: &mut TcpStream| {
        let mut status = [0; 12];
        socket.read_exact(&mut status).await.unwrap();
        String::from_utf8_lossy(&status).into_owned()
    };
    let answers = held.iter_mut().map(|socket| Box::pin(status(socket)));
    let (first, ..) = timeout(PATIENCE, select_all(answers)).await.expect("one is answered");
    assert_eq!(first, "HTTP/1.1 429");
    // Other addresses are served, and requests that show a credential are served from this address as well.
    let (email, password) = (&tenant.owner.email, &tenant.owner.password);
    tenant.log_in(email, password).await;
    let from_there = tenant.owner.caller.get("/v1/me").header("x-forwarded-for", "198.51.100.7");
    from_there.await.expect(200);
    drop(held);
}
