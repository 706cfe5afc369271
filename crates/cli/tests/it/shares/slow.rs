//! Bodies that are slow: whose fault it is that a request is not answered in time, and what of it is billed.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{request, waiting};
use crate::support::{Options, System, Tenant, eventually};

/// How long a request may take here.
const DEADLINE: Duration = Duration::from_secs(4);

/// A connection on which a write to the tenant's `resources` has begun.
async fn begin(system: &System, tenant: &Tenant<'_>, length: &str) -> TcpStream {
    let head = request(tenant, "POST /v1/resources");
    let mut socket = TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let begun = format!("{head}Content-Type: application/json\r\n{length}\r\n\r\n");
    socket.write_all(begun.as_bytes()).await.unwrap();
    socket
}

async fn status(socket: &mut TcpStream) -> String {
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A body that does not come at all.
async fn silent(system: &System, tenant: &Tenant<'_>, length: &str) -> String {
    status(&mut begin(system, tenant, length).await).await
}

/// A body of which a byte comes now and then, for as long as it takes.
async fn dripping(system: &System, tenant: &Tenant<'_>, length: &str, byte: &str) -> String {
    let mut socket = begin(system, tenant, length).await;
    let (mut reader, mut writer) = socket.split();
    let drip = async {
        while writer.write_all(byte.as_bytes()).await.is_ok() {
            tokio::time::sleep(DEADLINE / 20).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = [0; 12];
    tokio::select! {
        read = reader.read_exact(&mut answer) => drop(read.unwrap()),
        () = drip => {}
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// A body that comes in two halves, the other one late but in the first half of the time; then a lock is in its way.
async fn late_and_then_held_up(system: &System, tenant: &Tenant<'_>) -> String {
    let lock = format!("BEGIN; LOCK TABLE {}.resources IN EXCLUSIVE MODE", tenant.schema());
    let _lock = system.session(&lock);
    let body = json!({ "name": "n", "kind": "k" }).to_string();
    let (first, second) = body.split_at(body.len() / 2);
    let mut socket = begin(system, tenant, &format!("Content-Length: {}", body.len())).await;
    socket.write_all(first.as_bytes()).await.unwrap();
    tokio::time::sleep(DEADLINE / 5).await;
    socket.write_all(second.as_bytes()).await.unwrap();
    eventually(async || waiting(system, "resources"), |count| *count == 1).await;
    status(&mut socket).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_the_clients_fault_and_one_that_is_slow_holds_nobody_up() {
    let api = vec![
        ("BULKHEAD_REQUEST_TIMEOUT_MS", DEADLINE.as_millis().to_string()),
        ("BULKHEAD_LOG", "info".to_owned()),
    ];
    let system = System::start("slow", Options { api, ..Options::default() }).await;
    let (slow, held_up) = (system.tenant().await, system.tenant().await);
    let (sized, chunked) = ("Content-Length: 200000", "Transfer-Encoding: chunked");
    let statuses = tokio::join!(
        silent(&system, &slow, sized),
        silent(&system, &slow, chunked),
        dripping(&system, &slow, sized, "x"),
        dripping(&system, &slow, chunked, "1\r\nx\r\n"),
        // A request that came in time and is not answered in time is our fault.
        late_and_then_held_up(&system, &held_up),
        async {
            for _ in 0..4 {
                held_up.owner.caller.get("/v1/me").await.expect(200);
            }
        },
    );
    let (first, second, third, fourth, late, ()) = statuses;
    assert_eq!([first, second, third, fourth], ["HTTP/1.1 408"; 4]);
    assert_eq!(late, "HTTP/1.1 503");

    // The client's fault is billed, but not the time in which the bodies did not come; ours is not billed at all.
    let billed = |tenant: &Tenant<'_>, meter: &str| {
        let sql = format!(
            "SELECT coalesce(sum(h.quantity), 0) FROM platform.usage_hours h JOIN platform.tenants t ON t.id = h.tenant_id \
             WHERE t.slug = '{}' AND h.meter = '{meter}'",
            tenant.slug
        );
        system.sql(&sql).parse::<f64>().unwrap()
    };
    held_up.owner.caller.get("/v1/me").await.expect(200);
    let requests = async || (billed(&slow, "api_requests"), billed(&held_up, "api_requests"));
    eventually(requests, |(slow, held_up)| *slow >= 5.0 && *held_up >= 6.0).await;
    assert_eq!(requests().await, (5.0, 6.0));
    let worked = billed(&slow, "compute_ms");
    assert!(worked < DEADLINE.as_secs_f64() * 1_000.0, "{worked} ms for four requests that were waited for");
}
