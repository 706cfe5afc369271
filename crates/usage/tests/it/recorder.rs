//! What a recorder was told comes to be in the rollups, once, whatever happens to Redis and to the worker meanwhile.

use std::{cell::RefCell, rc::Rc, time::Duration};

use anyhow::{Context as _, Result};
use bulkhead_db::Db;
use bulkhead_domain::{
    Clock as _, SystemClock,
    usage::{StatusClass, UsageKey},
};
use bulkhead_servers::Signal;
use bulkhead_testkit::{TestDb, TestRedis};
use bulkhead_usage::{Outcome, Recorder, RecorderOptions, length};
use chrono::{DateTime, TimeDelta, Utc};
use rand::{RngExt as _, SeedableRng, rngs::StdRng};
use tokio::{
    task::{JoinHandle, LocalSet, spawn_local},
    time::sleep,
};

use crate::support::{Oracle, ROUTES, delta, drain_all, metrics, noon, server, tenant};

/// A recorder with little patience, so that a test sees in seconds what takes a minute in production.
fn options() -> RecorderOptions {
    RecorderOptions {
        node: "test".to_owned(),
        buffer_age: Duration::from_secs(4),
        resend_after: Duration::from_secs(1),
        confirm_every: Duration::from_millis(200),
        ..RecorderOptions::default()
    }
}

/// What the callers of a recorder know.
#[derive(Default)]
struct Load {
    recorded: Oracle,
    answered: Oracle,
    unsafe_answers: usize,
}

struct Api {
    db: Db,
    recorder: Recorder,
    flusher: JoinHandle<()>,
    load: Rc<RefCell<Load>>,
}

impl Api {
    fn start(db: &TestDb, redis: &TestRedis, options: RecorderOptions) -> Result<Self> {
        let (recorder, flusher) = Recorder::new(options, db.db()?, server(redis), metrics());
        Ok(Self { db: db.db()?, recorder, flusher: spawn_local(flusher), load: Rc::default() })
    }

    /// One request: record, wait, answer.
    async fn serve(recorder: Recorder, load: Rc<RefCell<Load>>, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let (tenant, route, status) =
            (tenant(rng.random_range(1..6)), ROUTES[rng.random_range(0..3)], StatusClass::of(200));
        let at: DateTime<Utc> = noon() + TimeDelta::seconds(rng.random_range(0..90));
        let delta = delta(&mut rng);
        let minute = u32::try_from(at.timestamp() / 60).unwrap();
        let key = UsageKey { tenant, route: route.to_owned(), status, minute };
        let ticket = recorder.record(tenant, route, status, at, &delta);
        load.borrow_mut().recorded.add(key.clone(), &delta);
        let outcome = ticket.flushed().await;
        let mut load = load.borrow_mut();
        load.answered.add(key, &delta);
        load.unsafe_answers += usize::from(outcome == Outcome::Unsafe);
    }

    /// Clients that send one request after the other until they are told to stop.
    fn clients(&self, count: u64) -> Vec<JoinHandle<()>> {
        let client = |n: u64| {
            let (recorder, load) = (self.recorder.clone(), Rc::clone(&self.load));
            spawn_local(async move {
                for request in 0.. {
                    Self::serve(recorder.clone(), Rc::clone(&load), n << 32 | request).await;
                    sleep(Duration::from_millis(2)).await;
                }
            })
        };
        (0..count).map(client).collect()
    }

    /// Serves for a while with something going on, then ends in order.
    async fn serve_during(self, event: impl Future<Output = Result<()>>) -> Result<Load> {
        let clients = self.clients(20);
        event.await?;
        for client in clients {
            client.abort();
        }
        sleep(Duration::from_millis(50)).await;
        assert_eq!(self.recorder.shutdown(&self.db, Duration::from_secs(20)).await, 0);
        self.flusher.await?;
        Ok(self.load.take())
    }
}

/// Runs the worker's job over and over.
fn worker(db: &TestDb, url: String) -> JoinHandle<()> {
    let db = db.db().unwrap();
    spawn_local(async move {
        let server = bulkhead_usage::RedisServer::new(
            &url,
            None,
            Duration::from_millis(500),
            Duration::from_millis(500),
        )
        .unwrap();
        let metrics = metrics();
        loop {
            if let Ok(mut connection) = server.connect().await {
                let options = bulkhead_usage::DrainOptions::default();
                drop(bulkhead_usage::drain(&mut connection, &db, &metrics, options, SystemClock.now()).await);
            }
            sleep(Duration::from_millis(100)).await;
        }
    })
}

/// Waits until so many more answers have been given, of those that are counted.
async fn answers(load: &RefCell<Load>, counted: impl Fn(&Load) -> u64, more: u64) -> Result<()> {
    let wanted = counted(&load.borrow()) + more;
    let given = async {
        while counted(&load.borrow()) < wanted {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), given).await.context("no answers are given")
}

async fn for_secs(seconds: f64) {
    sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test]
async fn with_everything_in_order_nothing_is_unsafe_and_the_stream_is_drained() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let test = async {
        let api = Api::start(&db, &redis, options())?;
        let worker = worker(&db, redis.url());
        let load = api
            .serve_during(async {
                for_secs(1.5).await;
                Ok(())
            })
            .await?;
        worker.abort();
        assert_eq!(load.unsafe_answers, 0);
        assert!(load.recorded.requests() > 500, "{}", load.recorded.requests());
        drain_all(&db, &redis).await?;
        load.recorded.check(&db).await
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn redis_killed_and_restarted_empty() -> Result<()> {
    let (db, mut redis) = (TestDb::new().await?, TestRedis::start().await?);
    let test = async {
        let api = Api::start(&db, &redis, options())?;
        let worker = worker(&db, redis.url());
        let event = async {
            for_secs(0.7).await;
            redis.kill(Signal::SIGKILL)?;
            for_secs(1.5).await;
            redis.restart()?;
            for_secs(2.0).await;
            Ok(())
        };
        let load = api.serve_during(event).await?;
        worker.abort();
        assert_eq!(load.unsafe_answers, 0, "PostgreSQL was there all the time");
        load.recorded.check(&db).await
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn redis_frozen_and_thawed() -> Result<()> {
    let (db, mut redis) = (TestDb::new().await?, TestRedis::start().await?);
    let test = async {
        let api = Api::start(&db, &redis, options())?;
        let worker = worker(&db, redis.url());
        let served = Rc::clone(&api.load);
        let event = async {
            for_secs(0.5).await;
            redis.kill(Signal::SIGSTOP)?;
            // Redis answers nobody from here on: all of these are given without it.
            answers(&served, |load| load.answered.requests(), 200).await?;
            redis.kill(Signal::SIGCONT)?;
            for_secs(1.0).await;
            Ok(())
        };
        let load = api.serve_during(event).await?;
        worker.abort();
        assert_eq!(load.unsafe_answers, 0, "PostgreSQL was there all the time");
        // The frozen server has kept what it was sent, and writes it now.
        drain_all(&db, &redis).await?;
        load.recorded.check(&db).await
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn flushall_without_a_worker_is_noticed_and_sent_again() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let test = async {
        let mut api_options = options();
        api_options.buffer_age = Duration::from_mins(1);
        let api = Api::start(&db, &redis, api_options)?;
        let clients = api.clients(10);
        for_secs(0.5).await;
        for client in clients {
            client.abort();
        }
        for_secs(0.1).await;
        let mut connection = server(&redis).connect().await?;
        let before = length(&mut connection).await?;
        assert!(before > 0);
        let _ok: () = redis::cmd("FLUSHALL").query_async(&mut connection).await?;
        for_secs(2.5).await;
        let again = length(&mut connection).await?;
        assert_eq!(again, before, "every batch is back");
        // The process dies now: all depends on the stream.
        api.flusher.abort();
        let recorded = api.load.take().recorded;
        drain_all(&db, &redis).await?;
        recorded.check(&db).await
    };
    LocalSet::new().run_until(test).await
}

/// Without a worker the recorder applies its batches itself, and keeps the stream short.
#[tokio::test]
async fn a_worker_that_is_away_is_not_needed_and_one_that_comes_back_finds_little() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let test = async {
        let mut api_options = options();
        api_options.buffer_age = Duration::from_secs(1);
        let api = Api::start(&db, &redis, api_options)?;
        let clients = api.clients(10);
        for_secs(1.0).await;
        for client in clients {
            client.abort();
        }
        for_secs(2.0).await;
        let mut connection = server(&redis).connect().await?;
        assert_eq!(
            length(&mut connection).await?,
            0,
            "what was applied directly was deleted from the stream"
        );
        let recorded = api.load.take().recorded;
        recorded.check(&db).await?;
        api.flusher.abort();
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// `kill -9`: the recorder and its flusher are gone in the middle of everything.
#[tokio::test]
async fn a_process_that_dies_has_billed_what_it_answered_and_at_most_what_was_in_flight() -> Result<()> {
    for round in 0..8 {
        let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
        let test = async {
            let api = Api::start(&db, &redis, options())?;
            let worker = worker(&db, redis.url());
            let clients = api.clients(25);
            sleep(Duration::from_millis(300 + 37 * round)).await;
            for client in clients {
                client.abort();
            }
            api.flusher.abort();
            sleep(Duration::from_millis(50)).await;
            worker.abort();
            drain_all(&db, &redis).await?;
            let load = api.load.take();
            assert_eq!(load.unsafe_answers, 0);
            let billed: u64 =
                db.value("SELECT sum(requests) FROM platform.request_minutes").await?.parse()?;
            let (answered, recorded) = (load.answered.requests(), load.recorded.requests());
            assert!(answered <= billed && billed <= recorded, "{answered} <= {billed} <= {recorded}");
            assert!(recorded - answered <= 25 && answered > 0);
            anyhow::Ok(())
        };
        LocalSet::new().run_until(test).await?;
    }
    Ok(())
}

/// A request whose client has gone is dropped while it waits; it was served all the same.
#[tokio::test]
async fn a_cancelled_request_is_not_lost() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let test = async {
        let api = Api::start(&db, &redis, options())?;
        for seed in 0..200 {
            let request = Api::serve(api.recorder.clone(), Rc::clone(&api.load), seed);
            drop(tokio::time::timeout(Duration::from_micros(seed * 3), request).await);
        }
        assert_eq!(api.recorder.shutdown(&api.db, Duration::from_secs(10)).await, 0);
        let recorded = api.load.take().recorded;
        recorded.check(&db).await
    };
    LocalSet::new().run_until(test).await
}

/// Two faults at once: answers are told to be unsafe, in time, and nothing is lost as long as the process lives.
#[tokio::test]
async fn without_redis_and_postgres_records_wait_in_the_process() -> Result<()> {
    use bulkhead_testkit::Cluster;

    let cluster = Cluster::start(|_| (), None).await?;
    let db = TestDb::on(cluster).await?;
    let mut redis = TestRedis::start().await?;
    let test = async {
        let api = Api::start(&db, &redis, options())?;
        let served = Rc::clone(&api.load);
        let event = async {
            for_secs(0.3).await;
            redis.kill(Signal::SIGKILL)?;
            db.cluster().server().unwrap().kill(Signal::SIGKILL)?;
            // Nobody waits for either of them to come back.
            answers(&served, |load| load.unsafe_answers as u64, 40).await?;
            db.cluster().server().unwrap().restart()?;
            for_secs(6.0).await;
            Ok(())
        };
        let load = api.serve_during(event).await?;
        assert!(load.unsafe_answers > 0);
        load.recorded.check(&db).await
    };
    LocalSet::new().run_until(test).await
}

/// Over its bound the stream gets nothing more while PostgreSQL takes it.
#[tokio::test]
async fn a_stream_over_its_bound_is_left_alone() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let test = async {
        let mut api_options = options();
        (api_options.stream_max, api_options.buffer_age) = (20, Duration::from_mins(1));
        let api = Api::start(&db, &redis, api_options)?;
        let clients = api.clients(5);
        for_secs(1.0).await;
        for client in clients {
            client.abort();
        }
        for_secs(0.1).await;
        let mut connection = server(&redis).connect().await?;
        assert_eq!(length(&mut connection).await?, 20);
        assert_eq!(api.recorder.shutdown(&api.db, Duration::from_secs(10)).await, 0);
        let recorded = api.load.take().recorded;
        recorded.check(&db).await
    };
    LocalSet::new().run_until(test).await
}
