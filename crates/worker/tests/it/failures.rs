//! Runs that fail, and what becomes of their jobs.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use bulkhead_db::platform::queue::JobState;
use bulkhead_fixtures::TestRedis;
use bulkhead_worker::WorkerOptions;
use tokio::{
    task::LocalSet,
    time::{sleep, timeout},
};

use crate::support::{
    EFFECTS, Gate, Probe, Worker, core, database, enqueue, job, jobs_in, options, registry, tenant, until,
};

const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_job_takes_effect_once_and_says_so() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let worker = Worker::start(&db, &redis)?;
        let id = enqueue(&db, Some(tenant(1)), &Probe::default()).await?;
        until(&db, &jobs_in("succeeded"), "1", PATIENCE).await?;
        let row = job(&db, id).await?;
        assert_eq!((row.attempts, row.progress, row.error), (1, 100, None));
        assert_eq!(row.result, Some(serde_json::json!({ "attempt": 1 })));
        assert!(row.finished_at.is_some());
        assert_eq!(db.value(EFFECTS).await?, "1 1");
        let failures = r#"bulkhead_jobs_total{kind="probe",outcome="failed"} 0"#;
        assert!(worker.metrics.render().contains(failures), "the first failure must be seen as growth");
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn a_run_that_fails_is_repeated_until_it_works_or_has_used_up_its_attempts() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let worker = Worker::start(&db, &redis)?;
        let flaky = enqueue(&db, None, &Probe { failures: 2, ..Probe::default() }).await?;
        let hopeless = enqueue(&db, None, &Probe { failures: 9, ..Probe::default() }).await?;
        let panicking = enqueue(&db, None, &Probe { failures: 1, panics: true, ..Probe::default() }).await?;
        let aborting = enqueue(&db, None, &Probe { aborts: true, ..Probe::default() }).await?;
        until(&db, &jobs_in("succeeded"), "2", PATIENCE).await?;
        until(&db, &jobs_in("failed"), "2", PATIENCE).await?;
        let flaky = job(&db, flaky).await?;
        assert_eq!((flaky.state, flaky.attempts, flaky.error), (JobState::Succeeded, 3, None));
        let panicking = job(&db, panicking).await?;
        assert_eq!((panicking.state, panicking.attempts), (JobState::Succeeded, 2));
        let hopeless = job(&db, hopeless).await?;
        assert_eq!((hopeless.attempts, hopeless.error.as_deref()), (3, Some("every attempt failed")));
        let aborting = job(&db, aborting).await?;
        assert_eq!((aborting.attempts, aborting.error.as_deref()), (1, Some("the probe gives up")));
        assert_eq!(db.value(EFFECTS).await?, "2 2");
        let leaked =
            "SELECT count(*) FROM platform.jobs WHERE error LIKE '%secret%' OR result::text LIKE '%secret%'";
        assert_eq!(db.value(leaked).await?, "0");
        let text = worker.metrics.render();
        for series in [
            r#"bulkhead_jobs_total{kind="probe",outcome="succeeded"} 2"#,
            r#"bulkhead_jobs_total{kind="probe",outcome="failed"} 2"#,
            r#"bulkhead_jobs_total{kind="probe",outcome="retried"} 5"#,
        ] {
            assert!(text.contains(series), "{series}");
        }
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn a_job_that_was_lost_once_too_often_counts_as_a_failure() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let lost = enqueue(&db, None, &Probe::default()).await?;
        let set = "state = 'running', attempts = 3, leased_until = now() - interval '1 s', lease_token = gen_random_uuid()";
        db.sql(&format!("UPDATE platform.jobs SET {set} WHERE id = '{}'", lost.uuid())).await?;
        let worker = Worker::start(&db, &redis)?;
        until(&db, &jobs_in("failed"), "1", PATIENCE).await?;
        // It is told after it is committed.
        let failure = r#"bulkhead_jobs_total{kind="probe",outcome="failed"} 1"#;
        while !worker.metrics.render().contains(failure) {
            sleep(Duration::from_millis(20)).await;
        }
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(timeout(5 * PATIENCE, test)).await?
}

/// One run is longer than its lease, which is renewed meanwhile; the other never ends, and is stopped after
/// [`bulkhead_worker::JobHandler::TIMEOUT`] of the probe.
#[tokio::test]
async fn a_run_that_takes_too_long_is_stopped_and_one_that_takes_long_is_not() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let worker = Worker::start(&db, &redis)?;
        let (opens, stays) = (Gate::closed(), Gate::closed());
        let long = enqueue(&db, None, &opens.probe()).await?;
        let too_long = enqueue(&db, None, &stays.probe()).await?;
        until(&db, &jobs_in("running"), "2", PATIENCE).await?;
        // Twice: by then the lease that the run began with is over.
        let lease = format!("SELECT leased_until FROM platform.jobs WHERE id = '{}'", long.uuid());
        let mut leases = BTreeSet::new();
        while leases.len() < 4 {
            leases.insert(db.value(&lease).await?);
            sleep(Duration::from_millis(20)).await;
        }
        opens.open();
        until(&db, &jobs_in("succeeded"), "1", PATIENCE).await?;
        let long = job(&db, long).await?;
        assert_eq!((long.state, long.attempts), (JobState::Succeeded, 1));
        let told = "SELECT count(*) FROM platform.jobs WHERE kind = 'probe' AND error IS NOT NULL";
        until(&db, told, "1", PATIENCE).await?;
        let too_long = job(&db, too_long).await?;
        assert_eq!(too_long.error.as_deref(), Some("the run failed; it will be tried again"));
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(timeout(5 * PATIENCE, test)).await?
}

/// While a new version is rolled out, jobs of new kinds meet workers of the old one.
#[tokio::test]
async fn a_job_of_an_unknown_kind_waits_for_a_worker_that_knows_it() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        let id = enqueue(&db, None, &Probe::default()).await?;
        let registry = core();
        let options = WorkerOptions { patience: Duration::from_millis(300), ..options() };
        let old = Worker::start_with(&db, &redis.url(), options, registry)?;
        // It is handed out and taken back, again and again.
        let handed_out = format!("SELECT pushed_at FROM platform.jobs WHERE id = '{}'", id.uuid());
        let mut times = BTreeSet::new();
        while times.len() < 4 {
            times.insert(db.value(&handed_out).await?);
            sleep(Duration::from_millis(20)).await;
        }
        let row = job(&db, id).await?;
        assert_eq!((row.state, row.attempts), (JobState::Queued, 0));
        let new = Worker::start(&db, &redis)?;
        until(&db, &jobs_in("succeeded"), "1", PATIENCE).await?;
        old.stop().await?;
        new.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(timeout(5 * PATIENCE, test)).await?
}

#[tokio::test]
async fn a_payload_that_cannot_be_read_is_given_up() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        db.sql(
            "INSERT INTO platform.jobs (id, kind, payload, max_attempts) VALUES (gen_random_uuid(), 'probe', '[]', 5)",
        )
        .await?;
        let worker = Worker::start(&db, &redis)?;
        let given_up = "SELECT error FROM platform.jobs WHERE state = 'failed' AND attempts = 1";
        let all = "SELECT count(*) FROM platform.jobs WHERE state = 'failed' AND attempts = 1";
        until(&db, all, "1", PATIENCE).await?;
        assert_eq!(db.value(given_up).await?, "the job's payload cannot be read");
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// The effect of a worker that was taken for dead must not be kept.
#[tokio::test]
async fn a_run_whose_lease_was_lost_leaves_nothing() -> Result<()> {
    let (db, redis) = (database().await?, TestRedis::start().await?);
    let test = async {
        // No renewal notices the loss before the run ends by itself.
        let options = WorkerOptions { lease: Duration::from_mins(1), ..options() };
        let worker = Worker::start_with(&db, &redis.url(), options, registry())?;
        let gate = Gate::closed();
        let id = enqueue(&db, None, &gate.probe()).await?;
        until(&db, &jobs_in("running"), "1", PATIENCE).await?;
        db.sql("UPDATE platform.jobs SET lease_token = gen_random_uuid() WHERE kind = 'probe'").await?;
        gate.open();
        // It waits for the run.
        worker.stop().await?;
        assert_eq!(db.value(EFFECTS).await?, "0 0");
        assert_eq!(job(&db, id).await?.state, JobState::Running);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}
