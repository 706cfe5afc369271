//! What is stored without Redis and without a worker is stored in pieces that PostgreSQL can take, and the end of a
//! process has one deadline.

use std::time::Duration;

use anyhow::Result;
use bulkhead_db::Timeouts;
use bulkhead_domain::usage::{StatusClass, UsageDelta};
use bulkhead_servers::Signal;
use bulkhead_testkit::{Cluster, TestDb, TestRedis, mac};
use bulkhead_usage::{Flusher, Outcome, Stores};
use chrono::TimeDelta;
use futures::future::join_all;

use crate::{
    node::{Node, options, stores},
    support::{ROUTES, metrics, noon, tenant},
};

/// Makes every statement with more than so many new rows take longer than any time-out.
async fn slow_beyond(db: &TestDb, rows: u32) -> Result<()> {
    db.sql(&format!(
        "CREATE FUNCTION platform.too_much() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF (SELECT count(*) FROM fresh) > {rows} THEN PERFORM pg_catalog.pg_sleep(60); END IF; RETURN NULL; \
         END $$; \
         CREATE TRIGGER too_much AFTER INSERT ON platform.request_minutes REFERENCING NEW TABLE AS fresh \
             FOR EACH STATEMENT EXECUTE FUNCTION platform.too_much()"
    ))
    .await?;
    Ok(())
}

/// After a long stretch without anybody to store usage there is more of it than a transaction can take in its time. It
/// goes in halves, and no answer is unsafe meanwhile.
#[tokio::test]
async fn what_is_too_much_for_one_transaction_is_applied_in_halves() -> Result<()> {
    let (db, mut redis) = (TestDb::new().await?, TestRedis::start().await?);
    // More than one batch has, and less than two.
    slow_beyond(&db, 1_500).await?;
    redis.kill(Signal::SIGKILL)?;
    let timeouts = Timeouts { statement_ms: 2_000, ..bulkhead_testkit::timeouts() };
    let stores = Stores { db: db.db_with(TestDb::pool_options(1), timeouts)?, ..stores(&db, &redis)? };
    let mut patient = options();
    patient.longest_wait = Duration::from_mins(2);
    let flusher = Flusher::start(patient, stores, mac(), metrics())?;
    let recorder = flusher.recorder();
    let delta = UsageDelta { requests: 1, ..UsageDelta::default() };
    let tickets: Vec<_> = (0..7_000_u32)
        .map(|n| {
            let at = noon() + TimeDelta::minutes((n / 100).into());
            recorder.record(tenant(u128::from(n % 100)), ROUTES[0], StatusClass::of(200), at, &delta)
        })
        .collect();
    let outcomes = join_all(tickets.into_iter().map(bulkhead_usage::Ticket::flushed)).await;
    let left_unsafe = outcomes.iter().filter(|outcome| **outcome == Outcome::Unsafe).count();
    assert_eq!(left_unsafe, 0, "PostgreSQL answered");
    assert_eq!(db.value("SELECT sum(requests) FROM platform.request_minutes").await?, "7000");
    assert_eq!(flusher.settle(Duration::from_secs(10)).await, 0);
    Ok(())
}

/// All threads' usage is settled together: with PostgreSQL away the end takes its one limit, not one for each thread.
#[tokio::test]
async fn settling_has_one_deadline_however_many_threads_have_recorded() -> Result<()> {
    const THREADS: u32 = 64;
    let db = TestDb::on(Cluster::start(|_| (), None).await?).await?;
    let mut redis = TestRedis::start().await?;
    let mut node = Node::start(&db, &redis, options())?;
    node.clients(THREADS.into());
    node.answers(u64::from(THREADS)).await?;
    redis.kill(Signal::SIGKILL)?;
    db.cluster().server().unwrap().kill(Signal::SIGKILL)?;
    let limit = Duration::from_secs(1);
    // A limit for each thread would be a minute. What is asked is whether, so there is room for a slow machine.
    let left = tokio::time::timeout(limit * (THREADS / 2), node.flusher.settle(limit)).await?;
    assert!(left > 0, "nobody could have taken it");
    node.no_clients().await;
    Ok(())
}

/// What is recorded after the end is not stored, and says so.
#[tokio::test]
async fn after_the_end_a_record_is_unsafe_at_once() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let node = Node::start(&db, &redis, options())?;
    node.request(1).await;
    assert_eq!(node.flusher.settle(Duration::from_secs(30)).await, 0);
    node.request(2).await;
    let load = node.load();
    assert_eq!((load.stored_answers, load.unsafe_answers), (1, 1));
    assert_eq!(db.value("SELECT sum(requests) FROM platform.request_minutes").await?, "1");
    Ok(())
}
