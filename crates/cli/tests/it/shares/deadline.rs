//! A request's one deadline: a PostgreSQL that has stopped answering costs time, and nothing else.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::faults::World;

/// As the settings have it.
const DEADLINE: Duration = Duration::from_secs(10);

/// How soon after PostgreSQL has gone on requests are answered again, at most.
const RECOVERY: Duration = Duration::from_secs(5);

/// The long form is the one of the record: `BULKHEAD_TEST_LONG=1 cargo test -p bulkhead-cli --test it deadline`.
fn frozen_for() -> Duration {
    let is_long = std::env::var_os("BULKHEAD_TEST_LONG").is_some();
    Duration::from_secs(if is_long { 30 } else { 12 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgresql_is_frozen_writes_are_refused_in_time_and_nothing_is_billed() {
    let mut world = World::start().await;
    let http = reqwest::Client::new();
    let (url, key) = (world.url("/v1/resources"), world.keys[0].clone());
    // Used while the server is frozen for the first time: it has to be looked up.
    let unknown = world.keys[1].clone();
    world.await_billed("the start").await;
    // A connection for each writer, so that the first writes are under way when the server stops.
    let write = async |name: String| {
        let key = if name.ends_with("unknown") { &unknown } else { &key };
        let started = Instant::now();
        let body = json!({ "name": name, "kind": "frozen" });
        let answer = http.post(&url).header("x-api-key", key).json(&body).send().await.unwrap();
        let has_pause = answer.headers().contains_key("retry-after");
        (answer.status(), has_pause, started.elapsed())
    };
    let warm = join_all((0..8).map(|number| write(format!("before {number}")))).await;
    assert!(warm.iter().all(|(status, ..)| *status == StatusCode::CREATED), "{warm:?}");
    world.expect_answered(8);

    world.postgres.freeze().unwrap();
    let frozen = Instant::now();
    let mut answers = Vec::new();
    let writers = (0..8).map(async |writer| {
        let mut seen = Vec::new();
        while frozen.elapsed() < frozen_for() {
            let who = if writer == 0 { "unknown" } else { "known" };
            seen.push(write(format!("frozen, {who}")).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        seen
    });
    let written = join_all(writers);
    let thaw = async {
        tokio::time::sleep(frozen_for()).await;
        world.postgres.thaw().unwrap();
        Instant::now()
    };
    let (written, thawed) = tokio::join!(written, thaw);
    answers.extend(written.into_iter().flatten());
    let slowest = answers.iter().map(|(_, _, took)| *took).max().unwrap();
    eprintln!("{} answers while PostgreSQL was frozen, the slowest after {slowest:?}", answers.len());
    assert!(answers.iter().filter(|(status, ..)| *status == StatusCode::SERVICE_UNAVAILABLE).count() >= 8);
    for (status, has_pause, took) in &answers {
        // What was on its way when the server went on may have been kept.
        let is_late = *status == StatusCode::CREATED;
        assert!(
            is_late || (*status == StatusCode::SERVICE_UNAVAILABLE && *has_pause),
            "{status} after {took:?}"
        );
    }
    assert!(slowest < DEADLINE + Duration::from_millis(500), "{slowest:?}");

    let mut late = answers.iter().filter(|(status, ..)| *status == StatusCode::CREATED).count() as u64;
    while write("after".to_owned()).await.0 != StatusCode::CREATED {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eprintln!("served again {:?} after PostgreSQL went on", thawed.elapsed());
    assert!(thawed.elapsed() < RECOVERY, "{:?}", thawed.elapsed());
    late += 1;
    world.expect_answered(late);
    world.await_billed("the thaw").await;
}
