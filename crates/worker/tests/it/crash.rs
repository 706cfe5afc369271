//! Workers that are killed in the middle of their jobs.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use bulkhead_db::{Connector, Db, Owner, Pool};
use bulkhead_domain::SystemClock;
use bulkhead_fixtures::{TestDb, TestRedis, mac, signing_key_maker, timeouts};
use bulkhead_telemetry::Metrics;
use bulkhead_worker::{Dependencies, run};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{
    EFFECTS, Probe, core, database, enqueue_many, jobs_in, no_pools, options, registry, server, tenant, until,
};

/// Where a worker process finds its servers.
#[derive(Serialize, Deserialize)]
struct Addresses {
    tenant: String,
    platform: String,
    provisioner: String,
    redis: String,
    /// Whether it runs the product's jobs rather than the probe.
    product: bool,
}

/// Not a test: the worker that the tests below start as a process of its own, and kill.
#[tokio::test]
#[ignore = "run as a child of the tests of this module"]
async fn worker_process() -> Result<()> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let addresses: Addresses = serde_json::from_str(&line)?;
    let pool = |url: &str| -> Result<Pool> {
        let connector = Connector::new(url, None, Duration::from_secs(5))?;
        Ok(Pool::new(connector, TestDb::pool_options(4)))
    };
    let db =
        || -> Result<Db> { Ok(Db::new(pool(&addresses.tenant)?, pool(&addresses.platform)?, timeouts())) };
    let dependencies = Dependencies {
        threads: vec![db()?, db()?],
        own: db()?,
        owner: Owner::new(pool(&addresses.provisioner)?, timeouts()),
        purger: Owner::new(pool(&addresses.provisioner)?, timeouts()),
        redis: server(&addresses.redis),
        usage_mac: mac(),
        queue_mac: mac(),
        signing_key_maker: signing_key_maker(),
        mail: None,
        anchoring: None,
        pools: no_pools()?,
        metrics: Metrics::new()?,
        health: std::sync::Arc::default(),
        clock: std::sync::Arc::new(SystemClock),
        extensions: bulkhead_config::Extensions::default(),
    };
    let registry = if addresses.product { core() } else { registry() };
    Box::pin(run(options(), dependencies, registry, CancellationToken::new())).await?;
    Ok(())
}

/// A worker process; killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    fn start(db: &TestDb, redis: &TestRedis) -> Result<Self> {
        Self::start_as(db, redis, false)
    }

    /// One that runs the product's jobs.
    pub(crate) fn start_product(db: &TestDb, redis: &TestRedis) -> Result<Self> {
        Self::start_as(db, redis, true)
    }

    fn start_as(db: &TestDb, redis: &TestRedis, product: bool) -> Result<Self> {
        let (urls, redis) = (db.urls(), redis.url());
        let addresses = Addresses {
            tenant: urls.tenant,
            platform: urls.platform,
            provisioner: urls.provisioner,
            redis,
            product,
        };
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "crash::worker_process", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        std::io::Write::write_all(
            &mut stdin,
            format!("{}\n", serde_json::to_string(&addresses)?).as_bytes(),
        )?;
        Ok(Self(child))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL: nothing is handed back, nothing is said.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn a_killed_workers_job_runs_again_when_its_lease_is_over_and_takes_effect_once() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    enqueue_many(&db, tenant(1), &Probe { millis: 1_000, ..Probe::default() }, 1).await?;
    let first = Process::start(&db, &redis)?;
    until(&db, &jobs_in("running"), "1", Duration::from_secs(20)).await?;
    drop(first);
    let killed = Instant::now();
    let _second = Process::start(&db, &redis)?;
    until(&db, &jobs_in("succeeded"), "1", Duration::from_secs(20)).await?;
    assert!(killed.elapsed() > Duration::from_secs(1), "the lease of 2 s was not respected");
    assert_eq!(db.value("SELECT attempts FROM platform.jobs WHERE kind = 'probe'").await?, "2");
    assert_eq!(db.value(EFFECTS).await?, "1 1");
    Ok(())
}

/// Two workers, one of them killed and replaced again and again, each time while it runs jobs; no attempt is lost to the kills,
/// as every job could be hit more often than it has attempts.
#[tokio::test]
async fn jobs_survive_any_number_of_killed_workers() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let _steady = Process::start(&db, &redis)?;
    for _ in 0..6 {
        let begun = db.value("SELECT clock_timestamp()").await?;
        let victim = Process::start(&db, &redis)?;
        let of_round = |state: &str| format!("{} AND created_at > '{begun}'", jobs_in(state));
        // One process has 16 places: of more jobs that run the victim has some.
        let hit = async {
            while db.value(&of_round("running")).await?.parse::<u32>()? <= 16 {
                if db.value(&of_round("queued")).await? == "0" {
                    for n in 1..=30 {
                        enqueue_many(&db, tenant(n), &Probe { millis: 700, ..Probe::default() }, 1).await?;
                    }
                    db.sql("UPDATE platform.jobs SET max_attempts = 100").await?;
                }
                sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(())
        };
        timeout(Duration::from_mins(2), hit).await.context("the victim has run nothing")??;
        drop(victim);
    }
    let jobs = db.value("SELECT count(*) FROM platform.jobs WHERE kind = 'probe'").await?;
    until(&db, &jobs_in("succeeded"), &jobs, Duration::from_mins(1)).await?;
    assert_eq!(db.value(EFFECTS).await?, format!("{jobs} {jobs}"));
    let again = db.value("SELECT count(*) FROM platform.jobs WHERE attempts > 1").await?;
    assert_ne!(again, "0", "no kill hit a running job");
    Ok(())
}
