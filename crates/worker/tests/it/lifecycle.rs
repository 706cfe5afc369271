//! Tenants that come and go, with the product's jobs: built after a rollback, built again after a job has given up, purged
//! by workers that are killed.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bulkhead_db::{
    Authority, DbError,
    fleet::{
        inspect::{Level, inspect},
        migrate::{CORE, MigrateOptions, Migration, MigrationSet, Sets, migrate_tenants},
        purge::Step,
    },
    platform::{
        lifecycle,
        queue::{self, JobState},
        tenants,
    },
};
use bulkhead_domain::{Clock as _, JobId, PlanName, SystemClock, TenantId};
use bulkhead_fixtures::{Login, TestDb, TestRedis};
use bulkhead_jobs::{EnqueuePerTenant, ProvisionTenant};
use chrono::TimeDelta;
use tokio::{
    task::LocalSet,
    time::{sleep, timeout},
};

use crate::{
    crash::Process,
    support::{Worker, core, core_database, job, options, until},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A migration of a release that these workers do not have.
const NEXT: Migration = Migration::new("2999-01-01-000000_next", "CREATE TABLE next (id int PRIMARY KEY)");

fn start(db: &TestDb, redis: &TestRedis) -> Result<Worker> {
    Worker::start_with(db, &redis.url(), options(), core())
}

async fn release(db: &TestDb) -> Result<()> {
    let core = [CORE.tenant(), &[NEXT]].concat().leak();
    let sets = Sets::new([MigrationSet::new(CORE.name(), core)])?;
    migrate_tenants(&db.owner()?, &sets, &MigrateOptions::default(), &|_| {}).await?;
    Ok(())
}

async fn order(db: &TestDb, tenant: TenantId) -> Result<JobId> {
    let ask = async |tx: &mut _| {
        queue::enqueue(tx, &ProvisionTenant { tenant }, Some(tenant), None, SystemClock.now()).await
    };
    Ok(db.db()?.platform_write::<_, DbError>(Authority::machinery(), ask).await?)
}

/// Deletes a tenant whose time to be restored is over at once.
async fn delete(db: &TestDb, id: TenantId) -> Result<()> {
    let delete = async |tx: &mut _| {
        let tenant = tenants::lock(tx, id).await?.ok_or(DbError::Aborted)?;
        lifecycle::delete(tx, &tenant, TimeDelta::days(30), SystemClock.now()).await
    };
    db.db()?.platform_write(Authority::machinery(), delete).await?;
    db.sql(&format!("UPDATE platform.tenants SET purge_after = now() WHERE id = '{}'", id.uuid())).await?;
    Ok(())
}

/// Nothing is left behind, and nothing waits for a person.
async fn assert_well(db: &TestDb) -> Result<()> {
    let found = inspect(&db.owner()?, &Sets::core()).await?;
    let unwell: Vec<_> = found.into_iter().filter(|f| f.level != Level::Ok && f.check != "server").collect();
    assert_eq!(unwell, []);
    Ok(())
}

/// Release N+1 has migrated, its smoke test has failed, and only workers of N are left.
#[tokio::test]
async fn after_a_rollback_customers_still_sign_up_with_what_the_fleet_has() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let test = async {
        let before = db.create_tenant("before", PlanName::FREE).await?;
        release(&db).await?;
        let worker = start(&db, &redis)?;
        let after = db.sign_up("after", PlanName::FREE).await?;
        order(&db, after.id).await?;
        until(&db, "SELECT count(*) FROM platform.tenants WHERE status = 'active'", "2", PATIENCE).await?;
        let tenants =
            "SELECT bool_and(applied = wanted) FROM platform.tenant_schema_versions, platform.fleet_target";
        assert_eq!(db.value(tenants).await?, "t");
        for tenant in [before, after] {
            let next = format!("SELECT to_regclass('{}.next')", tenant.schema());
            assert_ne!(db.value(&next).await?, "");
        }
        // The pool, too, is kept with them.
        let pool = "SELECT bool_and(applied = wanted) FROM platform.schema_pool, platform.fleet_target";
        until(&db, pool, "t", PATIENCE).await?;
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// A worker that cannot read how tenants are built. However often it tries, the job is as good as new for one that can.
#[tokio::test]
async fn a_job_for_a_newer_program_waits_for_it_without_losing_an_attempt() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let test = async {
        release(&db).await?;
        db.sql("UPDATE platform.fleet_migrations SET format = 2").await?;
        let tenant = db.sign_up("acme", PlanName::FREE).await?;
        let building = order(&db, tenant.id).await?;
        let worker = start(&db, &redis)?;
        // More often than it has attempts.
        let tries = || {
            let series = r#"bulkhead_jobs_total{kind="provision_tenant",outcome="postponed"} "#;
            let text = worker.metrics.render();
            text.lines().find_map(|line| line.strip_prefix(series)?.parse::<u32>().ok()).unwrap_or_default()
        };
        let often = async {
            while tries() < 12 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(5 * PATIENCE, often).await.context("it was not put off")?;
        // Between two tries it is as if it had never been started.
        let untouched = format!(
            "SELECT state || attempts || coalesce(error, '') FROM platform.jobs WHERE id = '{}'",
            building.uuid()
        );
        until(&db, &untouched, "queued0", PATIENCE).await?;
        db.sql("UPDATE platform.fleet_migrations SET format = 1").await?;
        until(&db, "SELECT status FROM platform.tenants", "active", PATIENCE).await?;
        let row = job(&db, building).await?;
        assert_eq!((row.state, row.attempts, row.error), (JobState::Succeeded, 1, None));
        assert!(worker.metrics.render().contains(r#"kind="provision_tenant",outcome="failed"} 0"#));
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn a_tenant_whose_job_has_given_up_is_built_after_a_while() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let test = async {
        let tenant = db.sign_up("acme", PlanName::FREE).await?;
        let given_up = order(&db, tenant.id).await?;
        db.sql(
            "UPDATE platform.jobs SET state = 'failed', attempts = 10, error = 'every attempt failed', \
             finished_at = now() - interval '16 minutes'",
        )
        .await?;
        let worker = start(&db, &redis)?;
        until(&db, "SELECT status FROM platform.tenants", "active", PATIENCE).await?;
        assert_eq!(job(&db, given_up).await?.state, JobState::Failed, "what has failed is not hidden");
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn tenants_that_are_not_in_service_are_housekept() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let test = async {
        let mut schemas = Vec::new();
        for slug in ["active", "suspended", "deleted"] {
            let tenant = db.create_tenant(slug, PlanName::FREE).await?;
            let expired = format!(
                "INSERT INTO {}.idempotency_keys VALUES ('p', 'r', 'old', '', 200, NULL, NULL, now() - interval '25 hours')",
                tenant.schema()
            );
            db.sql(&expired).await?;
            schemas.push(tenant);
        }
        delete(&db, schemas[2].id).await?;
        db.sql(
            "UPDATE platform.tenants SET status = 'suspended' WHERE slug = 'suspended'; \
             UPDATE platform.tenants SET purge_after = now() + interval '1 day' WHERE slug = 'deleted'",
        )
        .await?;
        let worker = start(&db, &redis)?;
        for tenant in &schemas {
            let left = format!("SELECT count(*) FROM {}.idempotency_keys", tenant.schema());
            until(&db, &left, "0", PATIENCE).await?;
        }
        assert_eq!(
            db.value(&format!(
                "SELECT count(*) FROM platform.jobs WHERE kind = '{}'",
                <EnqueuePerTenant as bulkhead_jobs::Job>::KIND
            ))
            .await?,
            "1"
        );
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// However long a step of a purge takes, a customer that signs up does not wait for it.
#[tokio::test]
async fn customers_sign_up_while_a_purge_takes_its_time() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let leaving = db.create_tenant("leaving", PlanName::FREE).await?;
    delete(&db, leaving.id).await?;
    let sweep = async |tx: &mut _| lifecycle::sweep(tx, SystemClock.now()).await;
    db.db()?.platform_write::<_, DbError>(Authority::machinery(), sweep).await?;
    let brake = db.session(Login::Admin).await?;
    brake.batch_execute("BEGIN; SELECT FROM platform.tenant_purges FOR UPDATE").await?;
    // The one wait of the purge; it gives up after a while and is begun again.
    let waiting = "SELECT coalesce(max(pid || ' ' || query_start), '') FROM pg_stat_activity \
        WHERE datname = current_database() AND usename = 'bulkhead_provisioner' AND wait_event_type = 'Lock'";
    let test = async {
        let worker = start(&db, &redis)?;
        let mut round = 0;
        loop {
            round += 1;
            anyhow::ensure!(round <= 5, "each sign-up has waited for the purge");
            let wait = loop {
                let seen = db.value(waiting).await?;
                if !seen.is_empty() {
                    break seen;
                }
                sleep(Duration::from_millis(10)).await;
            };
            let tenant = db.sign_up(&format!("acme-{round}"), PlanName::FREE).await?;
            order(&db, tenant.id).await?;
            let status = format!("SELECT status FROM platform.tenants WHERE id = '{}'", tenant.id.uuid());
            until(&db, &status, "active", PATIENCE).await?;
            // On a busy machine the wait may be over before the customer has signed up.
            if db.value(waiting).await? == wait {
                break;
            }
        }
        brake.batch_execute("ROLLBACK").await?;
        until(
            &db,
            "SELECT count(*) FROM platform.tenant_purges WHERE finished_at IS NOT NULL",
            "1",
            PATIENCE,
        )
        .await?;
        worker.stop().await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(test).await
}

/// Has each step named in `platform.held` wait for an advisory lock before it commits, and notes which jobs are removed.
async fn hold_steps(db: &TestDb, tenant: TenantId, lock: i64) -> Result<()> {
    let id = tenant.uuid();
    db.sql(&format!(
        "INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts, run_at) \
         VALUES (gen_random_uuid(), 'purge_expired', '{id}', '{{}}', 5, now() + interval '1 day'); \
         CREATE TABLE platform.held (step text); \
         CREATE FUNCTION platform.hold() RETURNS trigger LANGUAGE plpgsql SET search_path = platform AS $$ BEGIN \
             IF EXISTS (SELECT FROM held WHERE step = OLD.step) THEN \
                 PERFORM pg_advisory_xact_lock_shared({lock}); \
             END IF; \
             RETURN NEW; \
         END $$; \
         GRANT SELECT ON platform.held TO bulkhead_owner; \
         CREATE TRIGGER hold BEFORE UPDATE ON platform.tenant_purges FOR EACH ROW EXECUTE FUNCTION platform.hold(); \
         CREATE TABLE platform.removed (job uuid); \
         GRANT INSERT ON platform.removed TO bulkhead_owner; \
         CREATE FUNCTION platform.note_removed() RETURNS trigger LANGUAGE plpgsql SET search_path = platform AS $$ BEGIN \
             INSERT INTO removed VALUES (OLD.id); \
             RETURN OLD; \
         END $$; \
         CREATE TRIGGER note BEFORE DELETE ON platform.jobs \
             FOR EACH ROW WHEN (OLD.tenant_id = '{id}') EXECUTE FUNCTION platform.note_removed()",
    ))
    .await?;
    Ok(())
}

/// Each worker is stopped for good inside one step: its work is done and what comes next is written, but not committed.
#[tokio::test]
async fn a_purge_whose_worker_is_killed_in_every_step_comes_to_its_end() -> Result<()> {
    const HELD: i64 = 4242;
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    hold_steps(&db, tenant.id, HELD).await?;
    delete(&db, tenant.id).await?;
    let brake = db.session(Login::Admin).await?;
    let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
        WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
    for step in Step::ALL {
        brake.batch_execute(&format!("SELECT pg_advisory_lock({HELD})")).await?;
        db.sql(&format!("DELETE FROM platform.held; INSERT INTO platform.held VALUES ('{}')", step.as_str()))
            .await?;
        let worker = Process::start_product(&db, &redis)?;
        until(&db, waiting, "1", PATIENCE).await?;
        // SIGKILL.
        drop(worker);
        brake.batch_execute(&format!("SELECT pg_advisory_unlock({HELD})")).await?;
        until(&db, waiting, "0", PATIENCE).await?;
        let left = "SELECT step || coalesce(finished_at::text, '') FROM platform.tenant_purges";
        assert_eq!(db.value(left).await?, step.as_str(), "what was not committed is not done");
    }
    db.sql("DROP TRIGGER hold ON platform.tenant_purges").await?;
    let last = Process::start_product(&db, &redis)?;
    until(&db, "SELECT count(*) FROM platform.tenant_purges WHERE finished_at IS NOT NULL", "1", PATIENCE)
        .await?;
    drop(last);
    // The first worker may have given the tenant a job of housekeeping before the purge began.
    let removed = db.value("SELECT count(*) FROM platform.removed").await?;
    assert_ne!(removed, "0");
    let receipt = "SELECT concat_ws(' ', receipt ->> 'jobs', receipt -> 'rows' ->> 'users', receipt ->> 'audit_kept') \
        FROM platform.tenant_purges";
    assert_eq!(db.value(receipt).await?, format!("{removed} 1 1"), "nothing is counted twice");
    assert_eq!(db.value("SELECT count(*) FROM platform.audit_log WHERE action = 'purge_tenant'").await?, "1");
    assert_eq!(db.value(&format!("SELECT to_regrole('{}')", tenant.schema())).await?, "");
    db.sql(
        "DROP TRIGGER note ON platform.jobs; DROP TABLE platform.held, platform.removed; \
         DROP FUNCTION platform.hold, platform.note_removed",
    )
    .await?;
    assert_well(&db).await
}

/// Wherever the kills hit, with many purges under way.
#[tokio::test]
async fn purges_survive_any_number_of_killed_workers() -> Result<()> {
    let (db, redis) = (core_database().await?, TestRedis::start().await?);
    let mut gone = Vec::new();
    for n in 0..16 {
        let tenant = db.create_tenant(&format!("gone-{n}"), PlanName::FREE).await?;
        delete(&db, tenant.id).await?;
        gone.push(tenant);
    }
    let stays = db.create_tenant("stays", PlanName::FREE).await?;
    let finished = "SELECT count(*) FROM platform.tenant_purges WHERE finished_at IS NOT NULL";
    let mut hit = 0;
    for round in 0..8 {
        let victim = Process::start_product(&db, &redis)?;
        // From when it has begun to purge on, later each time.
        let under_way = "SELECT count(*) > 0 FROM platform.jobs WHERE kind = 'purge_tenant' AND state = 'running' \
            AND leased_until > now() + interval '1 second'";
        until(&db, under_way, "t", PATIENCE).await?;
        sleep(Duration::from_millis(7 * round)).await;
        drop(victim);
        if db.value(finished).await? == "16" {
            break;
        }
        hit += 1;
    }
    assert!(hit > 2, "the purges were over before any worker was killed");
    // No attempt is lost to the kills: each job could be hit more often than it has attempts.
    db.sql("UPDATE platform.jobs SET max_attempts = 100 WHERE kind = 'purge_tenant'").await?;
    let last = Process::start_product(&db, &redis)?;
    until(&db, finished, "16", PATIENCE * 3).await?;
    drop(last);
    for tenant in gone {
        let left = format!("SELECT to_regnamespace('{name}'), to_regrole('{name}')", name = tenant.schema());
        assert_eq!(db.sql(&left).await?, [[None, None]]);
    }
    let stays = db.value(&format!("SELECT to_regrole('{}')", stays.schema())).await?;
    assert!(!stays.is_empty());
    assert_well(&db).await.context("after the kills")
}
