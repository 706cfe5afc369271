//! A process that can write to Redis cannot make a worker run a job.

use std::time::Duration;

use anyhow::Result;
use apalis::prelude::TaskSink as _;
use apalis_redis::{Config, RedisStorage};
use bulkhead_domain::JobId;
use bulkhead_fixtures::{TestDb, TestRedis, mac, mac_of};
use bulkhead_worker::WorkerOptions;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use tokio::{
    task::LocalSet,
    time::{sleep, timeout},
};

use crate::support::{
    EFFECTS, Probe, Worker, database, enqueue, job, options, registry, server, tenant, until,
};

/// A task in the queue, as any process with access to Redis may write it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Raw {
    job: JobId,
    lane: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

async fn push(redis: &TestRedis, tasks: Vec<Raw>) -> Result<()> {
    let connection = server(&redis.url()).connect().await?;
    let config = Config::default().queue("bh:jobs").idempotency_ttl(Some(Duration::from_mins(1)));
    let mut storage = RedisStorage::<Raw, _>::new(connection).with_config(config);
    storage.push_bulk(tasks).await.map_err(|error| anyhow::anyhow!("{error}"))
}

fn covered(id: JobId, lane: &str) -> Vec<u8> {
    [id.uuid().as_bytes().as_slice(), lane.as_bytes()].concat()
}

/// A job that is handed out, so that a worker runs it only when the queue delivers it.
async fn handed_out(db: &TestDb) -> Result<(JobId, String)> {
    let id = enqueue(db, Some(tenant(7)), &Probe::default()).await?;
    db.sql(&format!("UPDATE platform.jobs SET pushed_at = now() WHERE id = '{}'", id.uuid())).await?;
    let lane = db.value(&format!("SELECT lane FROM platform.jobs WHERE id = '{}'", id.uuid())).await?;
    Ok((id, lane))
}

#[tokio::test]
async fn an_id_in_the_queue_that_we_have_not_put_there_runs_nothing() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let (id, lane) = handed_out(&db).await?;
    let test = async {
        let patient = WorkerOptions { patience: Duration::from_hours(1), ..options() };
        let worker = Worker::start_with(&db, &redis.url(), patient, registry())?;
        // The queue works.
        enqueue(&db, Some(tenant(1)), &Probe::default()).await?;
        until(&db, EFFECTS, "1 1", Duration::from_secs(10)).await?;
        let own = HEXLOWER.encode(&mac().sign(&covered(id, &lane)));
        let forged = [
            (lane.as_str(), None),
            (&lane, Some(String::new())),
            (&lane, Some("not hexadecimal".to_owned())),
            (&lane, Some(HEXLOWER.encode(&mac_of(2).sign(&covered(id, &lane))))),
            ("another", Some(own.clone())),
        ];
        let count = forged.len() as u64;
        let raw = |(lane, tag): (&str, _)| Raw { job: id, lane: lane.to_owned(), tag };
        push(&redis, forged.map(raw).into()).await?;
        let refused = async {
            while worker.metrics.jobs.forged.get() < count {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(60), refused).await?;
        assert_eq!(job(&db, id).await?.attempts, 0);
        // What we have put there runs, and once however often it is written again.
        let genuine = Raw { job: id, lane: lane.clone(), tag: Some(own) };
        push(&redis, vec![genuine.clone(), genuine.clone()]).await?;
        until(&db, EFFECTS, "2 2", Duration::from_secs(10)).await?;
        push(&redis, vec![genuine]).await?;
        enqueue(&db, Some(tenant(7)), &Probe::default()).await?;
        until(&db, EFFECTS, "3 3", Duration::from_secs(10)).await?;
        assert_eq!((job(&db, id).await?.attempts, worker.metrics.jobs.forged.get()), (1, count));
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}
