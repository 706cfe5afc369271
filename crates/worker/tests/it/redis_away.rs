//! A Redis that forgets, dies, freezes, or was never there.

use std::time::Duration;

use anyhow::Result;
use bulkhead_fixtures::TestRedis;
use bulkhead_servers::Signal;
use tokio::{task::LocalSet, time::sleep};

use crate::support::{
    EFFECTS, Probe, Worker, asked_again, database, enqueue, enqueue_many, jobs_in, options, registry, server,
    tenant, until,
};

#[tokio::test]
async fn a_job_that_was_handed_out_and_lost_is_handed_out_again() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        enqueue(&db, None, &Probe::default()).await?;
        db.sql("UPDATE platform.jobs SET pushed_at = now()").await?;
        let worker = Worker::start(&db, &redis)?;
        let took = until(&db, &jobs_in("succeeded"), "1", Duration::from_secs(10)).await?;
        assert!(took > Duration::from_secs(1), "patience is 2 s, but it took {took:?}");
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn flushall_with_five_hundred_jobs_under_way() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        for n in 1..=50 {
            enqueue_many(&db, tenant(n), &Probe { millis: 30, ..Probe::default() }, 10).await?;
        }
        let worker = Worker::start(&db, &redis)?;
        let mut connection = server(&redis.url()).connect().await?;
        for flushes in 1..=3 {
            let some =
                format!("SELECT count(*) > {} FROM platform.jobs WHERE state = 'succeeded'", 60 * flushes);
            until(&db, &some, "t", Duration::from_secs(10)).await?;
            let _ok: () = redis::cmd("FLUSHALL").query_async(&mut connection).await?;
        }
        until(&db, &jobs_in("succeeded"), "500", Duration::from_secs(30)).await?;
        assert_eq!(db.value(EFFECTS).await?, "500 500");
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn jobs_run_without_redis_and_go_through_it_again_when_it_is_back() -> Result<()> {
    let (db, mut redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let worker = Worker::start(&db, &redis)?;
        enqueue(&db, None, &Probe::default()).await?;
        until(&db, &jobs_in("succeeded"), "1", Duration::from_secs(10)).await?;
        redis.kill(Signal::SIGKILL)?;
        enqueue_many(&db, tenant(1), &Probe { millis: 5, ..Probe::default() }, 100).await?;
        until(&db, &jobs_in("succeeded"), "101", Duration::from_secs(20)).await?;
        redis.restart()?;
        // Through Redis again: its own count of what it was given grows.
        let mut connection = server(&redis.url()).connect().await?;
        let back = tokio::time::Instant::now();
        let (mut jobs, mut done) = (101, 0_u64);
        while done == 0 {
            anyhow::ensure!(back.elapsed() < Duration::from_mins(1), "nothing went through Redis");
            enqueue_many(&db, tenant(1), &Probe::default(), 10).await?;
            jobs += 10;
            until(&db, &jobs_in("succeeded"), &jobs.to_string(), Duration::from_secs(20)).await?;
            done = redis::cmd("SCARD").arg("bh:jobs:done").query_async(&mut connection).await?;
        }
        assert_eq!(db.value(EFFECTS).await?, format!("{jobs} {jobs}"));
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn a_frozen_redis_is_a_redis_that_is_away() -> Result<()> {
    let (db, mut redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let worker = Worker::start(&db, &redis)?;
        enqueue(&db, None, &Probe::default()).await?;
        until(&db, &jobs_in("succeeded"), "1", Duration::from_secs(10)).await?;
        redis.kill(Signal::SIGSTOP)?;
        enqueue_many(&db, tenant(1), &Probe { millis: 5, ..Probe::default() }, 40).await?;
        until(&db, &jobs_in("succeeded"), "41", Duration::from_secs(15)).await?;
        redis.kill(Signal::SIGCONT)?;
        enqueue_many(&db, tenant(1), &Probe { millis: 5, ..Probe::default() }, 40).await?;
        until(&db, &jobs_in("succeeded"), "81", Duration::from_secs(15)).await?;
        assert_eq!(db.value(EFFECTS).await?, "81 81");
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn jobs_run_where_there_is_no_redis_at_all() -> Result<()> {
    let db = database().await?;
    let test = async {
        enqueue_many(&db, tenant(1), &Probe::default(), 20).await?;
        let worker = Worker::start_with(&db, "redis://127.0.0.1:1", options(), registry())?;
        until(&db, &jobs_in("succeeded"), "20", Duration::from_secs(10)).await?;
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// Answers take longer than the interval at which Redis is asked.
#[tokio::test]
async fn a_slow_redis_is_asked_again() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let worker = Worker::start(&db, &redis)?;
        let mut connection = server(&redis.url()).connect().await?;
        for n in 1..=6 {
            let _ok: () =
                redis::cmd("CLIENT").arg("PAUSE").arg(150).arg("ALL").query_async(&mut connection).await?;
            asked_again(&mut connection, 10).await?;
            enqueue(&db, None, &Probe::default()).await?;
            until(&db, &jobs_in("succeeded"), &n.to_string(), Duration::from_secs(8)).await?;
        }
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// apalis keeps every finished task, and its scripts fail for good at about 8,000 due ones. So there are never more than 1,000
/// in Redis, of three times as many that are due.
#[tokio::test]
async fn thousands_of_due_jobs_drain_through_a_queue_that_stays_short_and_clean() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        for n in 1..=30 {
            enqueue_many(&db, tenant(n), &Probe::default(), 100).await?;
        }
        let mut connection = server(&redis.url()).connect().await?;
        let worker = Worker::start(&db, &redis)?;
        let mut longest = 0;
        let began = tokio::time::Instant::now();
        while db.value(&jobs_in("succeeded")).await? != "3000" {
            anyhow::ensure!(began.elapsed() < Duration::from_mins(5), "not drained");
            let (scheduled, active): (u64, u64) = redis::pipe()
                .cmd("ZCARD")
                .arg("bh:jobs:scheduled")
                .cmd("LLEN")
                .arg("bh:jobs:active")
                .query_async(&mut connection)
                .await?;
            longest = longest.max(scheduled + active);
            sleep(Duration::from_millis(20)).await;
        }
        eprintln!("3,000 jobs in {:?}, at most {longest} in Redis", began.elapsed());
        assert!(longest <= 1_000, "{longest}");
        assert_eq!(db.value(EFFECTS).await?, "3000 3000");
        // What is finished is trimmed by and by.
        let drained = tokio::time::Instant::now();
        loop {
            let keys: u64 = redis::cmd("DBSIZE").query_async(&mut connection).await?;
            if keys < 20 {
                break;
            }
            anyhow::ensure!(drained.elapsed() < Duration::from_mins(1), "{keys} keys are left");
            sleep(Duration::from_millis(50)).await;
        }
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}
