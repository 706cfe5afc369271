//! Jobs that an application brings: what they reach, how they finish, and how their kinds come and go.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use bulkhead_db::{
    Authority, DbError, gate,
    platform::queue::{self, JobState, kinds},
    tenant::audit::{self, Entry},
};
use bulkhead_domain::{Clock as _, JobId, PlanName, SystemClock};
use bulkhead_fixtures::{ManualClock, TestDb, TestRedis, TestTenant};
use bulkhead_jobs::{EnqueuePerTenant, Job, TenantJob};
use bulkhead_worker::{Every, Finished, JobCall, JobError, Jobs, Registry, TenantJobHandler};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{task::LocalSet, time::sleep};

use crate::support::{Worker, job, options, until};

const PATIENCE: Duration = Duration::from_secs(20);

/// Leaves one row in its tenant's audit log for every time that it has taken effect.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Note {
    /// Whether its work fails after its effect, in the same transaction.
    #[serde(default)]
    fails: bool,
    /// How long it takes between its effect and its end.
    #[serde(default)]
    millis: u64,
}

impl Job for Note {
    const KIND: &'static str = "notes.take";
    const MAX_ATTEMPTS: i32 = 2;
}

impl TenantJob for Note {}

async fn take(note: &Note, call: &JobCall) -> Result<Finished, JobError> {
    call.finish(async |tx| {
        let id = call.id().to_string();
        let entry = Entry {
            at: call.at(),
            actor: "test",
            act: None,
            action: "notes.take",
            target: &id,
            request_id: &id,
            address: None,
            changes: json!({}),
        };
        audit::record(tx, &entry).await?;
        sleep(Duration::from_millis(note.millis)).await;
        if note.fails {
            return Err(JobError::retry("planted"));
        }
        Ok(Some(json!({ "tenant": call.tenant(), "attempt": call.attempt() })))
    })
    .await
}

impl TenantJobHandler for Note {
    async fn run(self, call: &JobCall) -> Result<Finished, JobError> {
        take(&self, call).await
    }
}

/// The same kind in a later release, which has retired it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct RetiredNote(Note);

impl Job for RetiredNote {
    const KIND: &'static str = Note::KIND;
    const RETIRED: bool = true;
}

impl TenantJob for RetiredNote {}

impl TenantJobHandler for RetiredNote {
    async fn run(self, call: &JobCall) -> Result<Finished, JobError> {
        take(&self.0, call).await
    }
}

fn registry() -> Registry {
    Registry::new([Jobs::core(), Jobs::of("notes").with_tenant::<Note>()]).unwrap()
}

fn retired() -> Registry {
    Registry::new([Jobs::core(), Jobs::of("notes").with_tenant::<RetiredNote>()]).unwrap()
}

/// A database after `migrate` of a program with these jobs, and two tenants in it.
async fn database(registry: &Registry) -> Result<(TestDb, [TestTenant; 2])> {
    let db = TestDb::new().await?;
    kinds::declare(&db.owner()?, &registry.kinds()).await?;
    let tenants =
        [db.create_tenant("acme", PlanName::FREE).await?, db.create_tenant("globex", PlanName::FREE).await?];
    Ok((db, tenants))
}

/// Asks for a job as a request of the tenant does.
async fn ask(db: &TestDb, tenant: &TestTenant, note: &Note) -> Result<JobId, DbError> {
    let ask = async |tx: &mut _| gate::jobs::enqueue(tx, note, None, SystemClock.now()).await;
    db.db().unwrap().write(tenant.proven(), ask).await
}

/// For how many jobs a tenant has the effect, and how often.
fn effects(tenant: &TestTenant) -> String {
    let log = format!("{}.audit_log", tenant.schema());
    format!("SELECT count(*) || ' ' || count(DISTINCT target) FROM {log} WHERE action = 'notes.take'")
}

fn ended(state: &str) -> String {
    format!("SELECT count(*) FROM platform.jobs WHERE kind = 'notes.take' AND state = '{state}'")
}

#[tokio::test]
async fn a_tenants_job_takes_effect_in_its_tenant_alone_and_ends_with_it() -> Result<()> {
    let (db, [acme, globex]) = database(&registry()).await?;
    let redis = TestRedis::start().await?;
    let test = async {
        let worker = Worker::start_with(&db, &redis.url(), options(), registry())?;
        let id = ask(&db, &acme, &Note::default()).await?;
        until(&db, &ended("succeeded"), "1", PATIENCE).await?;
        let row = job(&db, id).await?;
        assert_eq!(row.result, Some(json!({ "tenant": acme.id, "attempt": 1 })));
        assert_eq!(db.value(&effects(&acme)).await?, "1 1");
        assert_eq!(db.value(&effects(&globex)).await?, "0 0");

        // Work that fails leaves neither its effect nor an end.
        let id = ask(&db, &globex, &Note { fails: true, ..Note::default() }).await?;
        until(&db, &ended("failed"), "1", PATIENCE).await?;
        assert_eq!((job(&db, id).await?.attempts, db.value(&effects(&globex)).await?.as_str()), (2, "0 0"));

        // A row without a tenant is no tenant's.
        let none =
            async |tx: &mut _| queue::enqueue(tx, &Note::default(), None, None, SystemClock.now()).await;
        let id = db.db()?.platform_write::<_, DbError>(Authority::machinery(), none).await?;
        until(&db, &ended("failed"), "2", PATIENCE).await?;
        assert_eq!(job(&db, id).await?.error.as_deref(), Some("the job belongs to no tenant"));
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// The worker is taken for dead while it works, and another has the lease when it wants to finish.
#[tokio::test]
async fn a_tenants_job_whose_lease_is_lost_leaves_nothing() -> Result<()> {
    let (db, [acme, _]) = database(&registry()).await?;
    let redis = TestRedis::start().await?;
    let test = async {
        let mut options = options();
        // No renewal notices the loss before the run ends by itself.
        options.lease = Duration::from_secs(60);
        let worker = Worker::start_with(&db, &redis.url(), options, registry())?;
        let id = ask(&db, &acme, &Note { millis: 1_000, ..Note::default() }).await?;
        until(&db, &ended("running"), "1", PATIENCE).await?;
        db.sql("UPDATE platform.jobs SET lease_token = gen_random_uuid() WHERE kind = 'notes.take'").await?;
        let lost = r#"bulkhead_jobs_total{kind="notes.take",outcome="retried"} 1"#;
        while !worker.metrics.render().contains(lost) {
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(db.value(&effects(&acme)).await?, "0 0");
        assert_eq!(job(&db, id).await?.state, JobState::Running, "its row is another worker's");
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn kinds_come_with_migrate_change_with_it_and_never_go() -> Result<()> {
    let (db, [acme, _]) = database(&registry()).await?;
    let owner = db.owner()?;
    assert_eq!(kinds::declare(&owner, &registry().kinds()).await?, 0, "all of them are known");
    ask(&db, &acme, &Note::default()).await?;
    // A release that has retired the kind: tenants' transactions may not ask for it, whichever release runs them.
    assert_eq!(kinds::declare(&owner, &retired().kinds()).await?, 1);
    let refused = ask(&db, &acme, &Note::default()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("tenants may not enqueue notes.take"), "{refused:?}");
    // A program that does not know it leaves it as it is.
    kinds::declare(&owner, &crate::support::core().kinds()).await?;
    let known = "SELECT by_tenants FROM platform.job_kinds WHERE kind = 'notes.take'";
    assert_eq!(db.value(known).await?, "f");
    Ok(())
}

#[tokio::test]
async fn a_job_that_waits_when_its_kind_is_retired_is_still_run() -> Result<()> {
    let (db, [acme, _]) = database(&registry()).await?;
    let redis = TestRedis::start().await?;
    let test = async {
        ask(&db, &acme, &Note::default()).await?;
        kinds::declare(&db.owner()?, &retired().kinds()).await?;
        let worker = Worker::start_with(&db, &redis.url(), options(), retired())?;
        until(&db, &ended("succeeded"), "1", PATIENCE).await?;
        assert_eq!(db.value(&effects(&acme)).await?, "1 1");
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn a_job_of_each_tenant_runs_once_a_period_in_each() -> Result<()> {
    let jobs = || Jobs::of("notes").each_tenant::<Note>(Every::Day);
    let registry = || Registry::new([Jobs::core(), jobs()]).unwrap();
    let (db, [acme, globex]) = database(&registry()).await?;
    let redis = TestRedis::start().await?;
    let test = async {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let day = clock.now().format("%F").to_string();
        let worker = Worker::start_by(clock.clone(), &db, &redis, registry())?;
        until(&db, &ended("succeeded"), "2", PATIENCE).await?;
        // The next run of the day finds that both have had it, and a tenant that is new meanwhile has not.
        let new = db.create_tenant("initech", PlanName::FREE).await?;
        db.sql(&format!("UPDATE platform.jobs SET run_at = now() WHERE kind = '{}'", EnqueuePerTenant::KIND))
            .await?;
        until(&db, &ended("succeeded"), "3", PATIENCE).await?;
        for tenant in [&acme, &globex, &new] {
            assert_eq!(db.value(&effects(tenant)).await?, "1 1");
        }
        let keys =
            "SELECT string_agg(DISTINCT idempotency_key, ' ') FROM platform.jobs WHERE kind = 'notes.take'";
        assert_eq!(db.value(keys).await?, day, "the key of each is the day");
        // The run that a day later comes gives all of them another.
        clock.advance(TimeDelta::days(1));
        db.sql(&format!("UPDATE platform.jobs SET run_at = now() WHERE kind = '{}'", EnqueuePerTenant::KIND))
            .await?;
        until(&db, &ended("succeeded"), "6", PATIENCE).await?;
        assert_eq!(db.value(&effects(&acme)).await?, "2 2");
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}
