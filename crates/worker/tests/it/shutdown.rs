//! The orderly end of a worker.

use std::time::Duration;

use anyhow::Result;
use bulkhead_db::platform::queue::JobState;
use bulkhead_fixtures::TestRedis;
use tokio::{task::LocalSet, time::sleep};

use crate::support::{
    EFFECTS, Probe, Worker, database, enqueue, enqueue_many, job, jobs_in, options, registry, tenant, until,
};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn what_runs_is_waited_for_and_what_waits_is_handed_back() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        enqueue_many(&db, tenant(1), &Probe { millis: 800, ..Probe::default() }, 20).await?;
        let worker = Worker::start(&db, &redis)?;
        until(&db, &jobs_in("running"), "4", PATIENCE).await?;
        let took = worker.stop().await?;
        assert!(took < options().drain, "the drain was waited out: {took:?}");
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
        let id = enqueue(&db, None, &Probe { millis: 3_000, ..Probe::default() }).await?;
        let worker = Worker::start_with(&db, &redis.url(), options, registry())?;
        until(&db, &jobs_in("running"), "1", PATIENCE).await?;
        worker.stop().await?;
        let row = job(&db, id).await?;
        assert_eq!((row.state, row.attempts), (JobState::Queued, 0));
        let other = Worker::start(&db, &redis)?;
        until(&db, &jobs_in("succeeded"), "1", PATIENCE).await?;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(db.value(EFFECTS).await?, "1 1", "the run that was stopped has left nothing");
        other.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// PostgreSQL answers nothing any more: the process ends all the same.
#[tokio::test]
async fn a_worker_without_a_database_ends_in_time() -> Result<()> {
    use bulkhead_fixtures::{Cluster, TestDb};
    use bulkhead_servers::Signal;

    let cluster = Cluster::start(|_| (), None).await?;
    let (db, redis) = (TestDb::on(cluster).await?, TestRedis::start().await?);
    let test = async {
        let worker = Worker::start(&db, &redis)?;
        sleep(Duration::from_secs(1)).await;
        db.cluster().server().unwrap().kill(Signal::SIGSTOP)?;
        sleep(Duration::from_millis(300)).await;
        let took = worker.stop().await;
        db.cluster().server().unwrap().kill(Signal::SIGCONT)?;
        assert!(took? < Duration::from_secs(25), "what orchestrators give a process");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}
