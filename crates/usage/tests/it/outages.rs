//! What a process has recorded comes to be in the rollups, once, whatever happens to Redis, PostgreSQL and the worker
//! meanwhile.

use std::{process::Command, time::Duration};

use anyhow::Result;
use bulkhead_db::Timeouts;
use bulkhead_fixtures::{Cluster, Login, TestDb, TestRedis};
use bulkhead_servers::Signal;
use bulkhead_usage::{FlusherOptions, Stores};

use crate::{
    node::{Node, Worker, entries, options, stores, until},
    support::{busy_server, drain_all},
};

#[tokio::test]
async fn with_everything_in_order_nothing_is_unsafe_and_the_stream_is_drained() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut node = Node::start(&db, &redis, options())?;
    let worker = Worker::start(&db, &redis)?;
    node.clients(20);
    node.answers(500).await?;
    let load = node.end().await;
    worker.kill().await;
    assert_eq!(load.unsafe_answers, 0);
    drain_all(&db, &redis).await?;
    assert_eq!(entries(&redis).await?, 0);
    load.recorded.check(&db).await
}

#[tokio::test]
async fn redis_killed_and_restarted_empty() -> Result<()> {
    let (db, mut redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut node = Node::start(&db, &redis, options())?;
    let worker = Worker::start(&db, &redis)?;
    node.clients(20);
    node.answers(100).await?;
    redis.kill(Signal::SIGKILL)?;
    node.answers(100).await?;
    redis.restart()?;
    // A stream that was drained is still there, and one that was never written is not.
    until("usage goes to Redis again", async || {
        let mut connection = busy_server(&redis).connect().await?;
        Ok(redis::cmd("EXISTS").arg(bulkhead_usage::STREAM).query_async(&mut connection).await?)
    })
    .await?;
    node.answers(100).await?;
    let load = node.end().await;
    worker.kill().await;
    assert_eq!(load.unsafe_answers, 0, "PostgreSQL was there all the time");
    load.recorded.check(&db).await
}

#[tokio::test]
async fn redis_frozen_and_thawed() -> Result<()> {
    let (db, mut redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut node = Node::start(&db, &redis, options())?;
    let worker = Worker::start(&db, &redis)?;
    node.clients(20);
    node.answers(100).await?;
    redis.kill(Signal::SIGSTOP)?;
    node.answers(100).await?;
    redis.kill(Signal::SIGCONT)?;
    node.answers(100).await?;
    let load = node.end().await;
    worker.kill().await;
    assert_eq!(load.unsafe_answers, 0, "PostgreSQL was there all the time");
    // The frozen server has kept what it was sent, and writes it now.
    drain_all(&db, &redis).await?;
    load.recorded.check(&db).await
}

#[tokio::test]
async fn flushall_without_a_worker_is_noticed_and_sent_again() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut patient = options();
    patient.buffer_age = Duration::from_hours(1);
    let mut node = Node::start(&db, &redis, patient)?;
    node.clients(10);
    node.answers(100).await?;
    node.no_clients().await;
    let load = node.load();
    let mut connection = busy_server(&redis).connect().await?;
    // What the last clients left behind without waiting for it is still on its way.
    let mut before = 0;
    until("no entry is added any more", async || {
        let last = std::mem::replace(&mut before, entries(&redis).await?);
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(last == before && before > 0)
    })
    .await?;
    let _ok: () = redis::cmd("FLUSHALL").query_async(&mut connection).await?;
    until("every batch is back", async || Ok(entries(&redis).await? == before)).await?;
    // The process dies now: all depends on the stream.
    node.kill();
    drain_all(&db, &redis).await?;
    load.recorded.check(&db).await
}

/// Without a worker the flusher applies its batches itself, and keeps the stream short.
#[tokio::test]
async fn a_worker_that_is_away_is_not_needed_and_one_that_comes_back_finds_nothing() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut impatient = options();
    impatient.buffer_age = Duration::from_secs(1);
    let mut node = Node::start(&db, &redis, impatient)?;
    node.clients(10);
    node.answers(100).await?;
    node.no_clients().await;
    let load = node.load();
    let recorded = load.recorded.requests().to_string();
    until("everything is in the rollups", async || {
        Ok(db.value("SELECT coalesce(sum(requests), 0) FROM platform.request_minutes").await? == recorded)
    })
    .await?;
    until("what was applied is deleted from the stream", async || Ok(entries(&redis).await? == 0)).await?;
    node.kill();
    load.recorded.check(&db).await
}

/// `kill -9`: the process is gone in the middle of everything.
#[tokio::test]
async fn a_process_that_dies_has_billed_what_it_answered_and_at_most_what_was_in_flight() -> Result<()> {
    for round in 0..8 {
        let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
        let mut node = Node::start(&db, &redis, options())?;
        let worker = Worker::start(&db, &redis)?;
        node.clients(25);
        node.answers(60 + 37 * round).await?;
        let load = node.kill();
        worker.kill().await;
        drain_all(&db, &redis).await?;
        assert_eq!(load.unsafe_answers, 0);
        let billed: u64 = db.value("SELECT sum(requests) FROM platform.request_minutes").await?.parse()?;
        let (answered, recorded) = (load.answered.requests(), load.recorded.requests());
        assert!(answered <= billed && billed <= recorded, "{answered} <= {billed} <= {recorded}");
        assert!(recorded - answered <= 25 && answered > 0);
    }
    Ok(())
}

/// A request whose client has gone is dropped while it waits; it was served all the same.
#[tokio::test]
async fn a_cancelled_request_is_not_lost() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let node = Node::start(&db, &redis, options())?;
    for seed in 0..200 {
        drop(tokio::time::timeout(Duration::from_micros(seed * 3), node.request(seed)).await);
    }
    node.end().await.recorded.check(&db).await
}

/// Two faults at once: answers are told to be unsafe, and nothing is lost as long as the process lives. As soon as one of
/// the two is back, no answer is unsafe any more.
#[tokio::test]
async fn without_redis_and_postgres_records_wait_in_the_process() -> Result<()> {
    let db = TestDb::on(Cluster::start(|_| (), None).await?).await?;
    let mut redis = TestRedis::start().await?;
    let mut node = Node::start(&db, &redis, options())?;
    node.clients(20);
    node.answers(100).await?;
    assert_eq!(node.load().unsafe_answers, 0);
    redis.kill(Signal::SIGKILL)?;
    db.cluster().server().unwrap().kill(Signal::SIGKILL)?;
    until("answers are unsafe", async || Ok(node.load().unsafe_answers > 40)).await?;
    db.cluster().server().unwrap().restart()?;
    let before = node.load().stored_answers;
    until("an answer is safe again", async || Ok(node.load().stored_answers > before)).await?;
    let unsafe_before = node.load().unsafe_answers;
    node.answers(200).await?;
    let load = node.end().await;
    assert_eq!(load.unsafe_answers, unsafe_before, "PostgreSQL answered");
    load.recorded.check(&db).await
}

/// Both servers are there and say nothing.
#[tokio::test]
async fn with_redis_and_postgres_frozen_answers_are_unsafe_until_one_of_them_thaws() -> Result<()> {
    let db = TestDb::on(Cluster::start(|_| (), None).await?).await?;
    let mut redis = TestRedis::start().await?;
    let mut node = Node::start(&db, &redis, options())?;
    node.clients(20);
    node.answers(100).await?;
    redis.kill(Signal::SIGSTOP)?;
    // Its children are frozen with it, or a backend that is there would go on answering.
    db.cluster().server().unwrap().kill(Signal::SIGSTOP)?;
    let backends = db.cluster().server().unwrap().pid().unwrap();
    signal_children(backends, "STOP");
    until("answers are unsafe", async || Ok(node.load().unsafe_answers > 40)).await?;
    redis.kill(Signal::SIGCONT)?;
    let before = node.load().stored_answers;
    until("an answer is safe again", async || Ok(node.load().stored_answers > before)).await?;
    let unsafe_before = node.load().unsafe_answers;
    node.answers(200).await?;
    assert_eq!(node.load().unsafe_answers, unsafe_before, "Redis answered");
    // The server last: it forgets children that ended, and a signal to one of those would be an error.
    signal_children(backends, "CONT");
    db.cluster().server().unwrap().kill(Signal::SIGCONT)?;
    let load = node.end().await;
    drain_all(&db, &redis).await?;
    load.recorded.check(&db).await
}

/// Sends a signal to the processes that a process has started.
fn signal_children(parent: u32, signal: &str) {
    let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let sent = Command::new("kill").arg(format!("-{signal}")).args(listed.split_whitespace()).status();
    assert!(sent.unwrap().success());
}

/// PostgreSQL answers, but takes nothing for a while, and ends connections: that is no reason to give an answer up.
#[tokio::test]
async fn without_redis_a_database_that_is_busy_makes_no_answer_unsafe() -> Result<()> {
    let (db, mut redis) = (TestDb::new().await?, TestRedis::start().await?);
    redis.kill(Signal::SIGKILL)?;
    let timeouts = Timeouts { lock_ms: 200, ..bulkhead_fixtures::timeouts() };
    let stores = Stores { db: db.db_with(TestDb::pool_options(1), timeouts)?, ..stores(&db, &redis)? };
    let mut node = Node::start_with(stores, options())?;
    let admin = db.session(Login::Admin).await?;
    admin.batch_execute("BEGIN; LOCK TABLE platform.request_minutes").await?;
    node.clients(10);
    let waiting = "SELECT coalesce(max(query_start)::text, '') FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut seen = std::collections::BTreeSet::new();
    until("the same usage was tried a few times", async || {
        seen.insert(db.value(waiting).await?);
        Ok(seen.len() > 4)
    })
    .await?;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND usename = 'bulkhead_platform'";
    until("connections were ended", async || Ok(db.value(end).await? != "0")).await?;
    assert_eq!(node.load().stored_answers, 0);
    admin.batch_execute("ROLLBACK").await?;
    node.answers(100).await?;
    let load = node.end().await;
    assert_eq!(load.unsafe_answers, 0, "PostgreSQL answered all the time");
    load.recorded.check(&db).await
}

/// An answer waits for its usage as long as it may, and no longer. That it is late is no evidence against PostgreSQL, which
/// stores it later.
#[tokio::test]
async fn without_redis_a_database_that_is_slow_makes_answers_late_and_not_unsafe() -> Result<()> {
    let (db, mut redis) = (TestDb::new().await?, TestRedis::start().await?);
    redis.kill(Signal::SIGKILL)?;
    let mut node = Node::start(&db, &redis, hurried())?;
    let admin = db.session(Login::Admin).await?;
    admin.batch_execute("BEGIN; LOCK TABLE platform.request_minutes").await?;
    node.clients(10);
    until("answers are late", async || Ok(node.load().late_answers > 20)).await?;
    assert_eq!(node.load().stored_answers, 0);
    admin.batch_execute("ROLLBACK").await?;
    until("answers are stored again", async || Ok(node.load().stored_answers > 100)).await?;
    let load = node.end().await;
    assert_eq!(load.unsafe_answers, 0, "PostgreSQL answered all the time");
    load.recorded.check(&db).await
}

/// A flusher whose records are waited for not much longer than PostgreSQL may be silent.
fn hurried() -> FlusherOptions {
    FlusherOptions { longest_wait: Duration::from_secs(3), ..options() }
}

/// PostgreSQL refuses logins because its connections are used up. That says that it is there: what it was asked is on
/// its way, and a connection comes free some time.
#[tokio::test]
async fn without_redis_a_database_whose_connections_are_used_up_makes_no_answer_unsafe() -> Result<()> {
    let db = TestDb::on(Cluster::start(|_| (), None).await?).await?;
    let mut redis = TestRedis::start().await?;
    redis.kill(Signal::SIGKILL)?;
    let mut node = Node::start(&db, &redis, hurried())?;
    node.clients(10);
    node.answers(50).await?;
    let admin = db.session(Login::Admin).await?;
    let neighbour = db.session(Login::Platform).await?;
    admin.batch_execute("ALTER ROLE bulkhead_platform CONNECTION LIMIT 1").await?;
    admin.batch_execute("BEGIN; LOCK TABLE platform.request_minutes").await?;
    until("a commit is slow", async || {
        let load = node.load();
        Ok(load.unsafe_answers > 0 || load.late_answers > 10)
    })
    .await?;
    assert_eq!(node.load().unsafe_answers, 0, "a login was refused, which is an answer");
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE usename = 'bulkhead_platform' AND pid != ";
    let pid: i32 = neighbour.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    admin.query_one(&format!("{end}{pid}"), &[]).await?;
    let late = node.load().late_answers + 20;
    until("a lost connection is not replaced", async || {
        Ok(node.load().unsafe_answers > 0 || node.load().late_answers > late)
    })
    .await?;
    assert_eq!(node.load().unsafe_answers, 0, "that there is no connection left is an answer");
    admin.batch_execute("ROLLBACK; ALTER ROLE bulkhead_platform CONNECTION LIMIT -1").await?;
    node.answers(100).await?;
    let load = node.end().await;
    assert_eq!(load.unsafe_answers, 0, "PostgreSQL answered all the time");
    load.recorded.check(&db).await
}

/// Over its bound the stream gets nothing more while PostgreSQL takes it.
#[tokio::test]
async fn a_stream_over_its_bound_is_left_alone() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let mut bounded = options();
    (bounded.stream_max, bounded.buffer_age) = (20, Duration::from_hours(1));
    let mut node = Node::start(&db, &redis, bounded)?;
    node.clients(5);
    until("the stream is full", async || Ok(entries(&redis).await? >= 20)).await?;
    node.answers(100).await?;
    node.no_clients().await;
    assert_eq!(entries(&redis).await?, 20);
    node.end().await.recorded.check(&db).await
}
