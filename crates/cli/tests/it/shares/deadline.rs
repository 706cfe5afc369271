//! A request's one deadline: a PostgreSQL that has stopped answering costs time, and nothing else.

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::timeout;

use crate::faults::World;

/// As the settings have it.
const DEADLINE: Duration = Duration::from_secs(10);

/// How often the writers try while PostgreSQL is frozen; the long form is the one of the record:
/// `BULKHEAD_TEST_LONG=1 cargo test -p bulkhead-cli --test it deadline`.
fn rounds() -> usize {
    if std::env::var_os("BULKHEAD_TEST_LONG").is_some() { 3 } else { 1 }
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
        let body = json!({ "name": name, "kind": "frozen" });
        let answer = http.post(&url).header("x-api-key", key).json(&body).send().await.unwrap();
        (answer.status(), answer.headers().contains_key("retry-after"))
    };
    let all = async |name: &str| {
        join_all((0..8).map(|writer| {
            let who = if writer == 0 { "unknown" } else { "known" };
            write(format!("{name}, {who}"))
        }))
        .await
    };
    let warm = join_all((0..8).map(|number| write(format!("before {number}")))).await;
    assert!(warm.iter().all(|(status, _)| *status == StatusCode::CREATED), "{warm:?}");
    world.expect_answered(8);

    world.postgres.freeze().unwrap();
    for round in 0..rounds() {
        // Twice the time says that there is one deadline, and not one for each thing that a request waits for.
        let answers = timeout(2 * DEADLINE, all("frozen")).await.expect("a request has one deadline");
        for answer in answers {
            assert_eq!(answer, (StatusCode::SERVICE_UNAVAILABLE, true), "round {round}");
        }
    }
    // What is on its way when the server goes on may be kept.
    let thaw = async { world.postgres.thaw().unwrap() };
    let (answers, ()) = tokio::join!(all("thawed"), thaw);
    let mut late = 0;
    for answer in answers {
        late += u64::from(answer.0 == StatusCode::CREATED);
        assert!(
            answer.0 == StatusCode::CREATED || answer == (StatusCode::SERVICE_UNAVAILABLE, true),
            "{answer:?}"
        );
    }

    let served = async {
        while write("after".to_owned()).await.0 != StatusCode::CREATED {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(6 * DEADLINE, served).await.expect("requests are answered again");
    world.expect_answered(late + 1);
    world.await_billed("the thaw").await;
}
