//! What is stored without Redis and without a worker is stored in pieces that PostgreSQL can take, and the end of a
//! process has one deadline.

use std::{sync::Arc, thread, time::Duration};

use anyhow::Result;
use bulkhead_db::{Db, Pool, PoolOptions, Timeouts};
use bulkhead_domain::{
    Mac,
    metering::{Quantity, RequestStats, StatusClass},
};
use bulkhead_fixtures::{Cluster, Login, TestDb, TestRedis, mac};
use bulkhead_servers::Signal;
use bulkhead_usage::{Flusher, Outcome, Stores};
use chrono::TimeDelta;
use futures::future::join_all;
use tokio::sync::oneshot;

use crate::{
    node::{Node, entries, options, stores, until},
    support::{METERS, ROUTES, drain_all, metrics, noon, tenant},
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

/// After a long stretch without a server to store usage there is more of it than a transaction can take in its time.
/// It goes in halves, whichever side ends the transaction, and no answer is unsafe meanwhile.
async fn too_much_is_applied_in_halves(timeouts: Timeouts, answer: Duration) -> Result<()> {
    let (db, mut redis) = (TestDb::new().await?, TestRedis::start().await?);
    // More than one batch has, and less than two.
    slow_beyond(&db, 1_500).await?;
    redis.kill(Signal::SIGKILL)?;
    let pool = |login, connections| -> Result<Pool> {
        let options = PoolOptions { answer, ..TestDb::pool_options(connections) };
        Ok(Pool::new(db.connector(login)?, options))
    };
    let stores = Stores {
        db: Db::new(pool(Login::Tenant, 1)?, pool(Login::Platform, 2)?, timeouts),
        ..stores(&db, &redis)?
    };
    let flusher = Flusher::start(options(), stores, mac(), metrics())?;
    let recorder = flusher.recorder();
    let stats = RequestStats { requests: 1, ..RequestStats::default() };
    let tickets: Vec<_> = (0..7_000_u32)
        .map(|n| {
            let at = noon() + TimeDelta::minutes((n / 100).into());
            recorder.record(tenant(u128::from(n % 100)), ROUTES[0], StatusClass::of(200), at, &stats, &[])
        })
        .collect();
    let outcomes = join_all(tickets.into_iter().map(bulkhead_usage::Ticket::durable)).await;
    let left_unsafe = outcomes.iter().filter(|outcome| **outcome == Outcome::NotDurable).count();
    assert_eq!(left_unsafe, 0, "PostgreSQL answered");
    until("all of it is in the rollups", async || {
        let stored = "SELECT coalesce(sum(requests), 0) FROM platform.request_minutes";
        Ok(db.value(stored).await? == "7000")
    })
    .await?;
    assert_eq!(flusher.finish(Duration::from_secs(10)).await, 0);
    Ok(())
}

#[tokio::test]
async fn what_the_server_ends_as_too_much_is_applied_in_halves() -> Result<()> {
    let timeouts = Timeouts { statement_ms: 2_000, ..bulkhead_fixtures::timeouts() };
    too_much_is_applied_in_halves(timeouts, Duration::from_secs(15)).await
}

#[tokio::test]
async fn what_we_end_as_too_much_is_applied_in_halves() -> Result<()> {
    let timeouts = Timeouts { statement_ms: 50_000, ..bulkhead_fixtures::timeouts() };
    too_much_is_applied_in_halves(timeouts, Duration::from_secs(2)).await
}

/// With no server there to take anything the end takes its limit, and the thread is gone then.
#[tokio::test]
async fn finishing_keeps_its_deadline_when_no_store_takes_anything() -> Result<()> {
    let db = TestDb::on(Cluster::start(|_| (), None).await?).await?;
    let mut redis = TestRedis::start().await?;
    let mut node = Node::start(&db, &redis, options())?;
    node.clients(64);
    node.answers(64).await?;
    redis.kill(Signal::SIGKILL)?;
    db.cluster().server().unwrap().kill(Signal::SIGKILL)?;
    let limit = Duration::from_secs(2);
    let (tell, ended) = oneshot::channel();
    let flusher = node.flusher;
    let ending = async {
        let left = flusher.finish(limit).await;
        // Apart from the runtime, which would wait for a thread that never ends.
        thread::spawn(move || {
            drop(flusher);
            tell.send(())
        });
        ended.await?;
        anyhow::Ok(left)
    };
    let left = tokio::time::timeout(limit * 3, ending).await??;
    assert!(left > 0, "no store could have taken it");
    Ok(())
}

/// While PostgreSQL takes nothing, what the process must keep of an answer is a share of a batch, and batches are made a few
/// times in a second, whatever the load.
#[tokio::test]
async fn without_postgres_batches_over_the_bound_are_few() -> Result<()> {
    let db = TestDb::on(Cluster::start(|_| (), None).await?).await?;
    let redis = TestRedis::start().await?;
    let mut bounded = options();
    bounded.buffer_bytes = 0;
    let mut node = Node::start(&db, &redis, bounded)?;
    db.cluster().server().unwrap().kill(Signal::SIGKILL)?;
    node.clients(50);
    node.answers(1_000).await?;
    let load = node.load();
    let batches = entries(&redis).await?;
    assert!(batches * 25 <= load.answers(), "{batches} batches for {} answers", load.answers());
    assert_eq!(load.unsafe_answers, 0, "Redis was there");
    drop(node.kill());
    Ok(())
}

/// A key that cannot be used, in place of whatever makes the thread fail.
#[derive(Debug)]
struct Broken;

impl Mac for Broken {
    fn sign(&self, _bytes: &[u8]) -> [u8; 32] {
        panic!("the flusher's thread fails here");
    }

    fn verify(&self, _bytes: &[u8], _tag: &[u8]) -> bool {
        false
    }
}

/// A flusher that fails says so: to those who wait, and to the process, which must not go on answering.
#[tokio::test]
async fn a_flusher_that_fails_ends_and_no_request_waits_for_it() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let flusher = Flusher::start(options(), stores(&db, &redis)?, Arc::new(Broken), metrics())?;
    let mut ended = std::pin::pin!(flusher.ended());
    let stats = RequestStats { requests: 1, ..RequestStats::default() };
    let record = || {
        flusher.recorder().record(tenant(1), ROUTES[0], StatusClass::of(200), noon(), &stats, &[]).durable()
    };
    // The first ones may go to PostgreSQL, while Redis is not connected yet.
    let recording = async {
        loop {
            tokio::select! {
                () = &mut ended => break,
                outcome = record() => assert!(outcome != Outcome::Late),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recording).await?;
    assert_eq!(record().await, Outcome::NotDurable);
    assert_eq!(format!("{:?}", flusher.recorder()), "Recorder(0 open keys)", "no flusher would ever take it");
    assert_eq!(flusher.finish(Duration::from_secs(10)).await, 1, "the end is not in order");
    Ok(())
}

/// More keys of requests and of meters than one entry may have are several batches, each of which a worker can read.
#[tokio::test]
async fn more_keys_than_an_entry_has_are_several_entries() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let node = Node::start(&db, &redis, options())?;
    node.request(1).await;
    let recorder = node.flusher.recorder();
    let stats = RequestStats { requests: 1, ..RequestStats::default() };
    let meters = METERS.map(|meter| (meter, Quantity::whole(1).unwrap()));
    let tickets: Vec<_> = (0..1_500_u32)
        .map(|n| {
            let at = noon() + TimeDelta::minutes(n.into());
            recorder.record(tenant(9), ROUTES[0], StatusClass::of(200), at, &stats, &meters)
        })
        .collect();
    let outcomes = join_all(tickets.into_iter().map(bulkhead_usage::Ticket::durable)).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Stored));
    let drained = drain_all(&db, &redis).await?;
    assert_eq!((drained.rejected, drained.left), (0, 0));
    // 4,500 keys beside the first request's.
    let batches =
        "SELECT sum(upper(seqs) - lower(seqs)) FROM platform.usage_batches, unnest(applied) AS seqs";
    assert!(db.value(batches).await?.parse::<u32>()? >= 6);
    let own = "tenant_id = '00000000-0000-0000-0000-000000000009'";
    let requests = format!("SELECT sum(requests) FROM platform.request_minutes WHERE {own}");
    assert_eq!(db.value(&requests).await?, "1500");
    for meter in METERS {
        let sum = format!("SELECT sum(quantity) FROM platform.usage_days WHERE {own} AND meter = '{meter}'");
        assert_eq!(db.value(&sum).await?, "1500");
    }
    Ok(())
}

/// What is recorded after the end is not stored, and says so.
#[tokio::test]
async fn after_the_end_a_record_is_unsafe_at_once() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let node = Node::start(&db, &redis, options())?;
    node.request(1).await;
    assert_eq!(node.flusher.finish(Duration::from_secs(30)).await, 0);
    node.request(2).await;
    let load = node.load();
    assert_eq!((load.stored_answers, load.unsafe_answers), (1, 1));
    assert_eq!(db.value("SELECT sum(requests) FROM platform.request_minutes").await?, "1");
    Ok(())
}
