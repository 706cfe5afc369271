//! Goals 11 and 12: what a neighbour notices of a crowd, and what the crowd costs the API in memory.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;
use serde_json::json;
use tokio::process::{Child, Command};

use super::Effort;
use crate::{
    cpu,
    crowd::{Client, Crowd, Reader, ask_evenly},
    report::{Better, Row},
    slices::compare,
    stage::{Api, Stage, Tenant},
};

/// What the neighbour asks for: so little that it is never in its own way.
const PER_SECOND: u32 = 200;

/// How many members a list must have to be as wide as content may be.
const WIDEST: usize = (256 << 10) / r#"{"":0},"#.len() - 1;

/// How many people each client of the log-ins guesses the password of, in turns.
const ATTEMPTS: usize = 400;

/// A crowd and the name of its row.
struct Kind {
    letter: char,
    what: &'static str,
    clients: Vec<Client>,
    /// Credentials of its tenant that are revoked meanwhile.
    revocations_per_minute: u32,
    /// A process that computes meanwhile and has nothing to do with us.
    has_stranger: bool,
    /// Whether its memory has a bound of its own.
    is_large: bool,
}

impl Kind {
    fn small(letter: char, what: &'static str, clients: Vec<Client>) -> Self {
        Self { letter, what, clients, revocations_per_minute: 0, has_stranger: false, is_large: false }
    }

    fn large(letter: char, what: &'static str, clients: Vec<Client>) -> Self {
        Self { is_large: true, ..Self::small(letter, what, clients) }
    }
}

/// Revokes credentials of a tenant, by the door that its requests use, until it is dropped. Returns only when it
/// could not, with the reason.
async fn revoke(stage: &Stage, tenant: &Tenant, per_minute: u32) -> anyhow::Error {
    const PER_SECOND: u32 = 10;
    let some = per_minute / 60 / PER_SECOND;
    if some == 0 {
        return std::future::pending().await;
    }
    let sql = format!(
        "BEGIN; SET LOCAL ROLE {}; SELECT gate.revoke('session', gen_random_uuid()) FROM generate_series(1, {some}); COMMIT",
        tenant.schema
    );
    loop {
        if let Err(error) = stage.db.sql(&sql).await {
            return error;
        }
        tokio::time::sleep(Duration::from_secs(1) / PER_SECOND).await;
    }
}

/// `11a` to `11f`: the slowest hundredth of a neighbour's answers beside each crowd, by the same without it; `11g` is the
/// limit, what this machine does when one of its processors is taken. `12a` to `12d`: the memory of the API beside the large
/// ones, over what it has when idle.
pub(crate) async fn crowds(stage: &Stage, effort: Effort) -> Result<Vec<Row>> {
    let settings = [
        ("BULKHEAD_TRUSTED_PROXY_HOPS", "1".to_owned()),
        // So that guesses are looked at, and cost what they may cost.
        ("BULKHEAD_IP_FAILED_CREDENTIALS_PER_MINUTE", "100000".to_owned()),
    ];
    let api = stage.serve_with(&settings).await?;
    let idle = cpu::resident_mb(api.pid());
    let address: SocketAddr = api.url().trim_start_matches("http://").parse()?;
    let [crowd, neighbour, ..] = &stage.tenants[..] else { return Ok(Vec::new()) };
    let read = Arc::new(request(neighbour, "GET", &neighbour.path, ""));
    let mut rows = Vec::new();
    for kind in kinds(crowd) {
        let memory = Memory::watch(&api, idle);
        let mut asked = 0;
        let errors = AtomicUsize::new(0);
        let neighbour = async || {
            // The crowd gathers, or what it has left is answered or cut.
            tokio::time::sleep(effort.slice / 4).await;
            let (read, slice) = (Arc::clone(&read), effort.slice);
            let asking = move || ask_evenly(address, &read, PER_SECOND, slice);
            let served = tokio::task::spawn_blocking(asking).await?;
            errors.fetch_add(served.errors, Ordering::Relaxed);
            Ok(served.p99)
        };
        let beside = async || {
            let gathered = Crowd::gather(address, kind.clients.clone());
            let _stranger = kind.has_stranger.then(compute).transpose()?;
            let p99 = tokio::select! {
                p99 = neighbour() => p99,
                failed = revoke(stage, crowd, kind.revocations_per_minute) => Err(failed),
            };
            asked += gathered.asked();
            p99
        };
        let compared = compare(effort.pairs, beside, &neighbour).await?;
        let errors = errors.into_inner();
        let what = format!("a neighbour's p99 beside {} / alone", kind.what);
        let mut row =
            Row::compared(&format!("11{}", kind.letter), &what, &compared, (Better::Less, 2.0, 1.3), "ms");
        row.detail =
            format!("{}; {asked} requests of the crowd, {errors} errors of the neighbour", row.detail);
        rows.push(row);
        if kind.is_large {
            let most = memory.most();
            let what = format!("memory of the API over idle beside {}, in MB", kind.what);
            let figure = (most, most, most);
            let detail = format!("idle {idle:.0} MB");
            rows.push(Row::figure(
                &format!("12{}", kind.letter),
                &what,
                figure,
                (Better::Less, 200.0, 100.0),
                detail,
            ));
        }
    }
    Ok(rows)
}

/// A process that computes until it is dropped.
fn compute() -> Result<Child> {
    let mut command = Command::new("sh");
    Ok(command.args(["-c", "while :; do :; done"]).kill_on_drop(true).spawn()?)
}

fn kinds(crowd: &Tenant) -> Vec<Kind> {
    let wide = vec![r#"{"":0}"#; WIDEST].join(",");
    let body = format!(r#"{{"name":"wide","kind":"wide","data":{{"a":[{wide}]}}}}"#);
    let write = Arc::new(request(crowd, "POST", "/v1/resources", &body));
    let page = Arc::new(request(crowd, "GET", "/v1/resources?limit=100", ""));
    let of = |requests: &[Arc<Vec<u8>>], reader, count: usize| {
        vec![Client { requests: requests.to_vec(), reader }; count]
    };
    let logins = (0..24).map(|client| {
        let requests = (0..ATTEMPTS).map(|attempt| log_in(client % 3, client * ATTEMPTS + attempt)).collect();
        Client { requests, reader: Reader::Whole }
    });
    vec![
        Kind::large('a', "32 writers of the widest content", of(&[write], Reader::Whole, 32)),
        Kind::large('b', "32 readers of the widest pages", of(&[Arc::clone(&page)], Reader::Whole, 32)),
        Kind::large('c', "200 readers that do not read", of(&[Arc::clone(&page)], Reader::Never, 200)),
        Kind::large('d', "32 slow readers", of(&[page], Reader::Slow, 32)),
        Kind::small('e', "log-ins from 3 addresses", logins.collect()),
        Kind { revocations_per_minute: 5_000, ..Kind::small('f', "5,000 revocations a minute", Vec::new()) },
        Kind {
            has_stranger: true,
            ..Kind::small('g', "one process that computes, of somebody else", Vec::new())
        },
    ]
}

/// A wrong password for one of many people, so that each is hashed, from one of a few addresses.
fn log_in(address: usize, person: usize) -> Arc<Vec<u8>> {
    let email = format!("person-{person}@example.com");
    let body = json!({ "tenant": "tenant-0", "email": email, "password": "not the password" });
    let body = body.to_string();
    let head = format!(
        "POST /v1/auth/login HTTP/1.1\r\nHost: bench\r\nX-Forwarded-For: 198.51.100.{address}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Arc::new([head.as_bytes(), body.as_bytes()].concat())
}

fn request(tenant: &Tenant, method: &str, path: &str, body: &str) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: bench\r\nX-API-Key: {}\r\n", tenant.key);
    if !body.is_empty() {
        head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body.as_bytes()].concat()
}

/// The most memory that a process has, watched until it is asked for.
struct Memory {
    stop: Arc<AtomicBool>,
    most_kb: Arc<AtomicU64>,
    idle: f64,
}

impl Memory {
    fn watch(api: &Api, idle: f64) -> Self {
        let memory = Self { stop: Arc::default(), most_kb: Arc::default(), idle };
        let (stop, most_kb, pid) = (Arc::clone(&memory.stop), Arc::clone(&memory.most_kb), api.pid());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                most_kb.fetch_max(kilobytes(cpu::resident_mb(pid)), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        memory
    }

    /// Megabytes over idle.
    fn most(&self) -> f64 {
        self.most_kb.load(Ordering::Relaxed) as f64 / 1024.0 - self.idle
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "memory is positive, and far below 2^53"
)]
fn kilobytes(megabytes: f64) -> u64 {
    (megabytes * 1024.0) as u64
}
