//! The orderly end of a worker.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bulkhead_db::platform::queue::JobState;
use bulkhead_fixtures::TestRedis;
use bulkhead_worker::WorkerOptions;
use tokio::{task::LocalSet, time::timeout};

use crate::support::{
    EFFECTS, Gate, Worker, database, enqueue, enqueue_many, job, jobs_in, options, registry, tenant, until,
};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn what_runs_is_waited_for_and_what_waits_is_handed_back() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let gate = Gate::closed();
        enqueue_many(&db, tenant(1), &gate.probe(), 20).await?;
        // Long beside what anything takes here: the worker ends with what runs and does not wait the drain out.
        let options = WorkerOptions { drain: Duration::from_hours(1), ..options() };
        let worker = Worker::start_with(&db, &redis.url(), options, registry())?;
        until(&db, &jobs_in("running"), "4", PATIENCE).await?;
        let finish = async {
            // The worker has been told meanwhile.
            until(&db, &jobs_in("running"), "4", PATIENCE).await?;
            gate.open();
            anyhow::Ok(())
        };
        let (stopped, finished) = tokio::join!(timeout(5 * PATIENCE, worker.stop()), finish);
        finished?;
        stopped??;
        assert_eq!(db.value(&jobs_in("succeeded")).await?, "4");
        let rest = "SELECT count(*) FROM platform.jobs WHERE state = 'queued' AND attempts = 0 AND pushed_at IS NULL \
                    AND kind = 'probe'";
        assert_eq!(db.value(rest).await?, "16");
        assert_eq!(db.value("SELECT count(*) FROM platform.nodes").await?, "0");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn a_job_that_outlasts_the_drain_is_handed_back_uncounted_and_run_elsewhere() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let mut options = options();
        options.drain = Duration::from_millis(500);
        let gate = Gate::closed();
        let id = enqueue(&db, None, &gate.probe()).await?;
        let worker = Worker::start_with(&db, &redis.url(), options, registry())?;
        until(&db, &jobs_in("running"), "1", PATIENCE).await?;
        worker.stop().await?;
        let row = job(&db, id).await?;
        assert_eq!((row.state, row.attempts), (JobState::Queued, 0));
        let stopped = async {
            while gate.waiting() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(5 * PATIENCE, stopped).await.context("the run was not stopped")?;
        gate.open();
        let other = Worker::start(&db, &redis)?;
        until(&db, &jobs_in("succeeded"), "1", PATIENCE).await?;
        other.stop().await?;
        assert_eq!(db.value(EFFECTS).await?, "1 1", "the run that was stopped has left nothing");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// PostgreSQL answers nothing any more: the process ends all the same, and its drain and the last transaction have limits.
#[tokio::test]
async fn a_worker_without_a_database_ends_in_time() -> Result<()> {
    use bulkhead_fixtures::{Cluster, TestDb};

    let cluster = Cluster::start(|_| (), None).await?;
    let (db, redis) = (TestDb::on(cluster).await?, TestRedis::start().await?);
    let test = async {
        let worker = Worker::start(&db, &redis)?;
        until(&db, "SELECT count(*) FROM platform.nodes", "1", PATIENCE).await?;
        // Its backends too, or one that is there would go on answering.
        db.cluster().server().unwrap().freeze()?;
        let stopped = timeout(10 * PATIENCE, worker.stop()).await;
        db.cluster().server().unwrap().thaw()?;
        stopped.context("it waits for the database")??;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}
