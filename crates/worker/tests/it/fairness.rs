//! One tenant's flood is that tenant's.

use std::time::Duration;

use anyhow::Result;
use bulkhead_db::platform::queue::JobState;
use bulkhead_fixtures::TestRedis;
use tokio::{task::LocalSet, time::sleep};

use crate::support::{
    Probe, Worker, database, enqueue, enqueue_many, job, jobs_in, options, registry, tenant, until,
};

#[tokio::test]
async fn a_flood_of_one_tenant_does_not_starve_anothers_single_job() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        // Five tenants want more than all places together, for a minute.
        for n in 1..=5 {
            enqueue_many(&db, tenant(n), &Probe { millis: 200, ..Probe::default() }, 1_000).await?;
        }
        let worker = Worker::start(&db, &redis)?;
        sleep(Duration::from_secs(2)).await;
        for n in 10..15 {
            let single = enqueue(&db, Some(tenant(n)), &Probe::default()).await?;
            while job(&db, single).await?.state != JobState::Succeeded {
                sleep(Duration::from_millis(10)).await;
            }
        }
        // A job that had to wait for the flood would have seen its end.
        assert!(
            db.value(&jobs_in("queued")).await?.parse::<u64>()? > 3_000,
            "a single job waited for the flood"
        );
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn no_more_jobs_of_a_tenant_run_at_once_than_it_has_places() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let mut options = options();
        options.lane_concurrency = 2;
        enqueue_many(&db, tenant(1), &Probe { millis: 100, ..Probe::default() }, 30).await?;
        let worker = Worker::start_with(&db, &redis.url(), options, registry())?;
        let mut most = 0;
        while db.value(&jobs_in("succeeded")).await? != "30" {
            most = most.max(db.value(&jobs_in("running")).await?.parse::<u32>()?);
        }
        assert_eq!(most, 2);
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// From the commit of an idle system's only job to its end.
#[tokio::test]
async fn an_idle_worker_picks_a_job_up_at_once() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let worker = Worker::start(&db, &redis)?;
        sleep(Duration::from_millis(500)).await;
        let mut waits = vec![];
        for n in 1..=15 {
            enqueue(&db, None, &Probe::default()).await?;
            until(&db, &jobs_in("succeeded"), &n.to_string(), Duration::from_secs(5)).await?;
            waits.push(
                db.value("SELECT max(extract(epoch FROM finished_at - created_at)) FROM platform.jobs")
                    .await?,
            );
            sleep(Duration::from_millis(300)).await;
        }
        eprintln!("the slowest of 15 took {} s", waits.last().unwrap());
        assert!(waits.last().unwrap().parse::<f64>()? < 2.0);
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}
