//! One tenant's flood is that tenant's.

use std::time::Duration;

use anyhow::Result;
use bulkhead_fixtures::TestRedis;
use tokio::task::LocalSet;

use crate::support::{
    Probe, Worker, asked_again, database, enqueue, enqueue_many, jobs_in, options, registry, server, tenant,
    until,
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
        // All places are taken.
        until(&db, &jobs_in("running"), "16", Duration::from_secs(10)).await?;
        for n in 10..15 {
            let single = enqueue(&db, Some(tenant(n)), &Probe::default()).await?;
            let state = format!("SELECT state FROM platform.jobs WHERE id = '{}'", single.uuid());
            until(&db, &state, "succeeded", Duration::from_secs(10)).await?;
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

/// A worker that has nothing to do goes on asking for work, and gets what there is.
#[tokio::test]
async fn an_idle_worker_goes_on_asking() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let worker = Worker::start(&db, &redis)?;
        let mut connection = server(&redis.url()).connect().await?;
        for n in 1..=3 {
            asked_again(&mut connection, 20).await?;
            enqueue(&db, None, &Probe::default()).await?;
            until(&db, &jobs_in("succeeded"), &n.to_string(), Duration::from_secs(5)).await?;
        }
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}
