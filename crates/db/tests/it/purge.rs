//! Tenants that leave: deleted, restored, purged; and those that no job touches.

use anyhow::{Context as _, Result};
use bulkhead_db::{
    Authority, DbError, Owner, PageRequest, Pool, Timeouts,
    audit::Chain,
    fleet::{
        audit_verify::{Break, Verdict, Why, verify},
        inspect::{Level, inspect},
        provision::{Provisioned, provision_tenant, schema_pool::build_ahead},
        purge::{Advanced, COUNTED, Receipt, Step, advance},
    },
    platform::{
        lifecycle::{self, Awaited},
        queue::{self, JobState},
        tenants, usage,
    },
};
use bulkhead_domain::{Clock as _, JobId, PlanName, SystemClock, TenantId, TenantStatus};
use bulkhead_fixtures::{Login, TestDb, TestTenant, timeouts};
use bulkhead_jobs::{PurgeExpired, PurgeTenant};
use chrono::TimeDelta;

use crate::probe;

async fn delete(db: &TestDb, id: TenantId) -> Result<tenants::Tenant> {
    let at = SystemClock.now();
    let delete = async |tx: &mut _| {
        let tenant = tenants::lock(tx, id).await?.ok_or(DbError::Aborted)?;
        lifecycle::delete(tx, &tenant, TimeDelta::days(30), at).await
    };
    Ok(db.db()?.platform_write(Authority::machinery(), delete).await?)
}

async fn restore(db: &TestDb, id: TenantId) -> Result<Option<tenants::Tenant>> {
    let restore = async |tx: &mut _| {
        tenants::lock(tx, id).await?;
        lifecycle::restore(tx, id, SystemClock.now()).await
    };
    Ok(db.db()?.platform_write::<_, DbError>(Authority::machinery(), restore).await?)
}

async fn retry(db: &TestDb, id: TenantId) -> Result<Option<Awaited>> {
    let retry = async |tx: &mut _| {
        let tenant = tenants::lock(tx, id).await?.ok_or(DbError::Aborted)?;
        lifecycle::retry(tx, &tenant, SystemClock.now()).await
    };
    Ok(db.db()?.platform_write(Authority::machinery(), retry).await?)
}

async fn sweep(db: &TestDb) -> Result<(usize, usize)> {
    let sweep = async |tx: &mut _| lifecycle::sweep(tx, SystemClock.now()).await;
    let swept = db.db()?.platform_write::<_, DbError>(Authority::machinery(), sweep).await?;
    Ok((swept.building, swept.purging))
}

async fn step(db: &TestDb, id: TenantId) -> Result<Advanced> {
    let at = SystemClock.now();
    Ok(db.owner()?.write::<_, DbError>(async |tx| advance(tx, id, JobId::mint(at), at).await).await?)
}

/// Goes on to the end.
async fn purge(db: &TestDb, id: TenantId) -> Result<Receipt> {
    loop {
        match step(db, id).await? {
            Advanced::Going => {}
            Advanced::Purged(receipt) => return Ok(receipt),
            Advanced::Refused => anyhow::bail!("refused"),
        }
    }
}

/// The time that a deleted tenant is kept is over.
async fn let_time_pass(db: &TestDb, id: TenantId) -> Result<()> {
    let sql = "UPDATE platform.tenants SET purge_after = now() - interval '2 hours' WHERE id =";
    db.sql(&format!("{sql} '{}'", id.uuid())).await?;
    Ok(())
}

async fn unwell(db: &TestDb) -> Result<Vec<(&'static str, String)>> {
    let found = inspect(&db.owner()?, &probe::sets()?).await?;
    let found = found.into_iter().filter(|f| f.level != Level::Ok && f.check != "server");
    Ok(found.map(|finding| (finding.check, finding.detail)).collect())
}

/// A tenant that has something of everything.
async fn furnished(db: &TestDb, slug: &str) -> Result<TestTenant> {
    let tenant = db.create_tenant(slug, PlanName::PRO).await?;
    let (id, schema) = (tenant.id.uuid(), tenant.schema());
    db.sql(&format!(
        "INSERT INTO {schema}.things (id, name, kind, data) SELECT gen_random_uuid(), 't', 'k', '{{}}' FROM generate_series(1, 7);
         INSERT INTO {schema}.sessions SELECT gen_random_uuid(), id, '', NULL, now(), now(), now() + interval '1 day', NULL FROM {schema}.users;
         INSERT INTO {schema}.api_keys VALUES (gen_random_uuid(), 'k', 'h', '', 'owner', 'u', now(), NULL, NULL);
         INSERT INTO {schema}.idempotency_keys VALUES ('p', 'r', 'k', '', 200, NULL, 'secret', now());
         INSERT INTO {schema}.audit_log SELECT gen_random_uuid(), now(), 'usr_a', 'update_user', 'usr_b', 'req', '{{\"email\": \"a@b.example\"}}' FROM generate_series(1, 3);
         INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts) SELECT gen_random_uuid(), 'purge_expired', '{id}', '{{}}', 5 FROM generate_series(1, 4);
         INSERT INTO platform.revocations (tenant_id, subject, subject_id) VALUES ('{id}', 'user', '{id}');
         INSERT INTO platform.scaling_policies VALUES ('{id}', 1, 1, 1, 1, 1, 1, 1);
         INSERT INTO platform.scaling_states VALUES ('{id}', 3, now());
         INSERT INTO platform.scaling_decisions VALUES (gen_random_uuid(), '{id}', now(), 'hold', 1, 1, 0, NULL, '');
         INSERT INTO platform.usage_days VALUES ('{id}', 'api_requests', current_date, 42);
         INSERT INTO platform.usage_hours VALUES ('{id}', 'api_requests', now(), 42);
         INSERT INTO platform.usage_counts (tenant_id, meter, quantity) VALUES ('{id}', 'invoices_sent', 42);
         INSERT INTO platform.audit_log VALUES (gen_random_uuid(), now(), 'opr_a', 'create_tenant', '{text}', 'req', '{{}}');
         INSERT INTO platform.idempotency_keys VALUES ('opr_a', 'create_tenant', '{slug}', '', 202, '/v1/operations/job_x', '{{\"tenant\": \"{text}\"}}', now());
         UPDATE platform.tenants SET requests_per_minute = 7, burst = 7 WHERE id = '{id}'",
        text = tenant.id
    ))
    .await?;
    Ok(tenant)
}

/// What is left of a tenant anywhere, table by table; the operators' answers are those that still say something.
async fn traces(db: &TestDb, tenant: &TestTenant) -> Result<String> {
    let (id, schema) = (tenant.id.uuid(), tenant.schema());
    db.value(&format!(
        "SELECT string_agg(what, ' ' ORDER BY place, what) FROM (
            SELECT 0 AS place, 'schema' AS what WHERE to_regnamespace('{schema}') IS NOT NULL
            UNION ALL SELECT 1, 'role' WHERE to_regrole('{schema}') IS NOT NULL
            UNION ALL SELECT 2, 'version' FROM platform.tenant_schema_versions WHERE tenant_id = '{id}'
            UNION ALL SELECT 3, 'pool' FROM platform.schema_pool WHERE tenant_id = '{id}'
            UNION ALL SELECT 4, 'owner' FROM platform.pending_owners WHERE tenant_id = '{id}'
            UNION ALL SELECT 5, 'jobs:' || count(*) FROM platform.jobs WHERE tenant_id = '{id}' HAVING count(*) > 0
            UNION ALL SELECT 6, 'revocations' FROM platform.revocations WHERE tenant_id = '{id}'
            UNION ALL SELECT 7, 'policy' FROM platform.scaling_policies WHERE tenant_id = '{id}'
            UNION ALL SELECT 8, 'state' FROM platform.scaling_states WHERE tenant_id = '{id}'
            UNION ALL SELECT 9, 'decision' FROM platform.scaling_decisions WHERE tenant_id = '{id}'
            UNION ALL SELECT 10, 'answer' FROM platform.idempotency_keys WHERE body LIKE '%{text}%'
            UNION ALL SELECT 11, 'limits' FROM platform.tenants WHERE id = '{id}' AND requests_per_minute IS NOT NULL
            UNION ALL SELECT 12, 'days' FROM platform.usage_days WHERE tenant_id = '{id}'
            UNION ALL SELECT 13, 'hours' FROM platform.usage_hours WHERE tenant_id = '{id}'
            UNION ALL SELECT 14, 'counts' FROM platform.usage_counts WHERE tenant_id = '{id}'
            UNION ALL SELECT 15, action FROM platform.audit_log WHERE target = '{text}'
            UNION ALL SELECT 16, 'kept:' || count(*) FROM platform.tenant_audit_log WHERE tenant_id = '{id}' HAVING count(*) > 0
        ) AS found",
        text = tenant.id
    ))
    .await
}

const EVERYTHING: &str = "schema role version jobs:4 revocations policy state decision answer limits days hours counts \
    create_tenant";
const WHAT_STAYS: &str = "days hours counts create_tenant purge_tenant kept:4";

/// Which tenants are listed.
const DELETED: tenants::TenantFilter<'static> =
    tenants::TenantFilter { status: Some(TenantStatus::Deleted), slug: None };

/// What is billed of what a tenant had counted and was not in the rollups yet.
async fn billed_from_counts(db: &TestDb, id: TenantId) -> Result<String> {
    let fold = async |tx: &mut _| usage::fold_counts(tx, 10).await;
    db.db()?.platform_write::<_, DbError>(Authority::machinery(), fold).await?;
    let billed = "SELECT quantity FROM platform.usage_days WHERE meter = 'invoices_sent' AND tenant_id =";
    db.value(&format!("{billed} '{}'", id.uuid())).await
}

#[tokio::test]
async fn a_purge_removes_everything_but_what_the_bill_needs_and_says_so() -> Result<()> {
    let db = probe::database().await?;
    let (gone, neighbour) = (furnished(&db, "gone").await?, furnished(&db, "neighbour").await?);
    assert_eq!(traces(&db, &gone).await?, EVERYTHING);
    let deleted = delete(&db, gone.id).await?;
    assert_eq!(deleted.status, TenantStatus::Deleted);
    let kept = deleted.purge_after.context("kept")? - deleted.deleted_at.context("when")?;
    assert_eq!(kept, TimeDelta::days(30));
    assert_eq!(sweep(&db).await?, (0, 0), "its time is not over");
    assert_eq!(step(&db, gone.id).await?, Advanced::Refused);
    assert_eq!(traces(&db, &gone).await?, EVERYTHING, "all it has is kept");

    let_time_pass(&db, gone.id).await?;
    assert_eq!(sweep(&db).await?, (0, 1));
    let receipt = purge(&db, gone.id).await?;
    assert_eq!(traces(&db, &gone).await?, WHAT_STAYS);
    assert_eq!(traces(&db, &neighbour).await?, EVERYTHING);
    assert_eq!(billed_from_counts(&db, gone.id).await?, "42");
    let rows = [
        ("api_keys", 1),
        ("audit_log", 4),
        ("idempotency_keys", 1),
        ("sessions", 1),
        ("things", 7),
        ("users", 1),
    ];
    assert!(rows.iter().all(|(table, rows)| receipt.rows.get(*table) == Some(rows)), "{receipt:?}");
    assert!(receipt.bytes > 8192 && receipt.schema && receipt.role && !receipt.pending_owner, "{receipt:?}");
    let counts = (receipt.jobs, receipt.revocations, receipt.scaling, receipt.answers, receipt.audit_kept);
    assert_eq!(counts, (4, 1, 3, 1, 4));
    assert_eq!(
        db.value("SELECT string_agg(DISTINCT actor || ' ' || action || ' ' || target, ', ') FROM platform.tenant_audit_log WHERE actor <> 'system'").await?,
        "usr_a update_user usr_b"
    );
    // That the answer was given is still known.
    assert_eq!(
        db.value("SELECT num_nulls(body, location) FROM platform.idempotency_keys WHERE key = 'gone'")
            .await?,
        "2"
    );

    // Again: the same answer, and nothing more is written.
    let row = "SELECT row_to_json(t)::text || row_to_json(p)::text FROM platform.tenants t JOIN platform.tenant_purges p ON tenant_id = id";
    let before = db.value(row).await?;
    assert_eq!(step(&db, gone.id).await?, Advanced::Purged(receipt));
    assert_eq!(db.value(row).await?, before);
    assert_eq!(sweep(&db).await?, (0, 0));
    // The slug is free, and the row still says whose it was.
    let again = db.create_tenant("gone", PlanName::FREE).await?;
    assert_ne!(again.id, gone.id);
    let find = async |tx: &mut _| tenants::find_with_purge(tx, gone.id).await;
    let (tenant, purge) =
        db.db()?.platform_read::<_, DbError>(Authority::machinery(), find).await?.context("it stays")?;
    assert_eq!(tenant.slug, gone.schema().replace('_', "-"));
    let purge = purge.context("purged")?;
    assert_eq!((purge.slug.as_str(), purge.finished_at.is_some()), ("gone", true));
    assert_eq!(unwell(&db).await?, []);
    let page = PageRequest { after: None, limit: 10 };
    let list = async |tx: &mut _| tenants::list(tx, DELETED, page).await;
    let listed = db.db()?.platform_read::<_, DbError>(Authority::machinery(), list).await?.rows;
    assert_eq!(
        listed.iter().map(|(tenant, purge)| (tenant.id, purge.is_some())).collect::<Vec<_>>(),
        [(gone.id, true)]
    );
    Ok(())
}

/// Each step on its own: what is gone after it, and that whatever comes before its commit undoes all of it.
#[tokio::test]
async fn a_purge_that_dies_in_any_step_is_gone_on_with() -> Result<()> {
    let db = probe::database().await?;
    let tenant = furnished(&db, "acme").await?;
    delete(&db, tenant.id).await?;
    let_time_pass(&db, tenant.id).await?;
    sweep(&db).await?;
    let owner = db.owner()?;
    let at = SystemClock.now();
    let next = format!(
        "SELECT step || coalesce(' ' || finished_at::text, '') FROM platform.tenant_purges WHERE tenant_id = '{}'",
        tenant.id.uuid()
    );
    let mut seen = Vec::new();
    for word in Step::ALL.map(Step::as_str) {
        let before = (traces(&db, &tenant).await?, db.value(&next).await?);
        assert_eq!(before.1, word);
        let died = owner
            .write(async |tx| {
                advance(tx, tenant.id, JobId::mint(at), at).await?;
                Err::<(), _>(DbError::Busy)
            })
            .await;
        assert!(matches!(died, Err(DbError::Busy)), "{died:?}");
        assert_eq!((traces(&db, &tenant).await?, db.value(&next).await?), before, "{word}");
        step(&db, tenant.id).await?;
        seen.push(traces(&db, &tenant).await?);
    }
    assert_eq!(
        seen,
        [
            "schema role version revocations policy state decision answer limits days hours counts create_tenant",
            "schema role version revocations policy state decision answer limits days hours counts create_tenant kept:4",
            "revocations policy state decision answer limits days hours counts create_tenant kept:4",
            "limits days hours counts create_tenant kept:4",
            WHAT_STAYS,
        ]
    );
    Ok(())
}

/// What is kept of a purged tenant's log holds by its chain, as the log did: without what was changed, and without the salts.
#[tokio::test]
async fn the_log_of_a_purged_tenant_is_verified_by_its_chain() -> Result<()> {
    let db = probe::database().await?;
    let tenant = furnished(&db, "acme").await?;
    delete(&db, tenant.id).await?;
    let_time_pass(&db, tenant.id).await?;
    sweep(&db).await?;
    let owner = db.owner()?;
    let verified = async || verify(&owner, Chain::Tenant(tenant.id), &[], |_, _| {}).await;
    while step(&db, tenant.id).await? == Advanced::Going {
        assert_eq!(verified().await?, None, "its entries are neither here nor there");
    }
    let whole = Verdict { entries: 4, erased: 4, waiting: 0, broken: None };
    assert_eq!(verified().await?, Some(whole));
    let salts = "SELECT count(*) FROM platform.audit_links WHERE address_salt IS NOT NULL OR changes_salt IS NOT NULL";
    assert_eq!(db.value(salts).await?, "0");
    db.sql("UPDATE platform.tenant_audit_log SET actor = 'usr_b' WHERE action = 'update_user'").await?;
    let broken = verified().await?.and_then(|verdict| verdict.broken);
    assert!(matches!(broken, Some(Break { why: Why::Changed, .. })), "{broken:?}");
    db.sql("DELETE FROM platform.tenant_audit_log").await?;
    let broken = verified().await?.and_then(|verdict| verdict.broken);
    assert!(matches!(broken, Some(Break { sequence: Some(1), why: Why::NoEntry, .. })), "{broken:?}");
    Ok(())
}

#[tokio::test]
async fn large_steps_are_done_in_parts_that_add_up() -> Result<()> {
    let db = probe::database().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let (id, schema) = (tenant.id.uuid(), tenant.schema());
    db.sql(&format!(
        "INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts) SELECT gen_random_uuid(), 'purge_expired', '{id}', '{{}}', 5 FROM generate_series(1, 12000);
         INSERT INTO {schema}.audit_log SELECT gen_random_uuid(), now(), 'a', 'b', 'c', 'd', '{{}}' FROM generate_series(1, 12000)",
    ))
    .await?;
    delete(&db, tenant.id).await?;
    let_time_pass(&db, tenant.id).await?;
    sweep(&db).await?;
    let mut steps = 1;
    while step(&db, tenant.id).await? == Advanced::Going {
        steps += 1;
    }
    assert_eq!(
        steps,
        3 + 6 + 3 + 3,
        "three parts of jobs, six of the chain, three of the audit log, and the rest"
    );
    let receipt = purge(&db, tenant.id).await?;
    assert_eq!((receipt.jobs, receipt.audit_kept), (12_000, 12_001));
    assert_eq!(db.value("SELECT count(*) FROM platform.tenant_audit_log").await?, "12001");
    assert!(receipt.rows["audit_log"] < COUNTED);
    Ok(())
}

#[tokio::test]
async fn a_deleted_tenant_comes_back_as_it_was_until_its_purge_has_begun() -> Result<()> {
    let db = probe::database().await?;
    for state in ["active", "suspended"] {
        let tenant = furnished(&db, state).await?;
        db.sql(&format!("UPDATE platform.tenants SET status = '{state}' WHERE slug = '{state}'")).await?;
        let dump = format!(
            "SELECT row_to_json(t)::jsonb - 'version' - 'updated_at' FROM platform.tenants t WHERE slug = '{state}'"
        );
        let before = (db.value(&dump).await?, traces(&db, &tenant).await?);
        delete(&db, tenant.id).await?;
        let restored = restore(&db, tenant.id).await?.context("in time")?;
        assert_eq!(restored.status.as_str(), state);
        assert_eq!((db.value(&dump).await?, traces(&db, &tenant).await?), before);
        assert!(restore(&db, tenant.id).await?.is_none(), "it is not deleted");

        delete(&db, tenant.id).await?;
        let_time_pass(&db, tenant.id).await?;
        // Late, but nothing has begun.
        assert!(restore(&db, tenant.id).await?.is_some());
        delete(&db, tenant.id).await?;
        let_time_pass(&db, tenant.id).await?;
        sweep(&db).await?;
        assert!(restore(&db, tenant.id).await?.is_none());
        purge(&db, tenant.id).await?;
        assert!(restore(&db, tenant.id).await?.is_none());
    }
    Ok(())
}

/// However short the time is set: nodes may still serve it for a moment, and would find no schema.
#[tokio::test]
async fn a_tenant_that_was_in_service_is_kept_until_no_node_serves_it() -> Result<()> {
    let db = probe::database().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let at = SystemClock.now();
    let delete = async |tx: &mut _| {
        let tenant = tenants::lock(tx, tenant.id).await?.ok_or(DbError::Aborted)?;
        lifecycle::delete(tx, &tenant, TimeDelta::zero(), at).await
    };
    let deleted = db.db()?.platform_write(Authority::machinery(), delete).await?;
    let kept = deleted.purge_after.context("kept")? - deleted.deleted_at.context("when")?;
    assert_eq!(kept, TimeDelta::minutes(1));
    assert_eq!(sweep(&db).await?, (0, 0));
    Ok(())
}

/// The API's clock is late, or the request has waited: the time begins when the database deletes.
#[tokio::test]
async fn a_tenant_is_kept_by_the_clock_that_judges_when_it_is_over() -> Result<()> {
    let db = probe::database().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let at = SystemClock.now() - TimeDelta::minutes(2);
    let delete = async |tx: &mut _| {
        let tenant = tenants::lock(tx, tenant.id).await?.ok_or(DbError::Aborted)?;
        lifecycle::delete(tx, &tenant, TimeDelta::zero(), at).await
    };
    db.db()?.platform_write(Authority::machinery(), delete).await?;
    assert_eq!(sweep(&db).await?, (0, 0));
    let left =
        "SELECT purge_after > now() AND deleted_at > now() - interval '1 minute' FROM platform.tenants";
    assert_eq!(db.value(left).await?, "t");
    Ok(())
}

/// The statement that finds the tenant has begun; before it locks the row, the tenant is restored and deleted again.
#[tokio::test]
async fn a_tenant_that_is_deleted_anew_while_a_sweep_looks_is_kept_anew() -> Result<()> {
    let db = probe::database().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    delete(&db, tenant.id).await?;
    let_time_pass(&db, tenant.id).await?;
    // The sweep looks at this row, and the policy holds it there.
    db.sql(&format!(
        "INSERT INTO platform.jobs (id, kind, idempotency_key, payload, max_attempts, state, attempts, error, finished_at) \
         VALUES (gen_random_uuid(), 'purge_tenant', '{}/x', '{{}}', 5, 'failed', 5, 'x', now() - interval '1 day');
         CREATE FUNCTION platform.hold() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
             IF current_query() LIKE '%purge_after <= now()%' THEN PERFORM pg_advisory_xact_lock_shared(7); END IF;
             RETURN true;
         END $$;
         GRANT EXECUTE ON FUNCTION platform.hold() TO bulkhead_platform_rw;
         ALTER TABLE platform.jobs ENABLE ROW LEVEL SECURITY;
         CREATE POLICY held ON platform.jobs USING (platform.hold())",
        tenant.id.uuid()
    ))
    .await?;
    let barrier = db.session(Login::Admin).await?;
    barrier.batch_execute("SELECT pg_advisory_lock(7)").await?;
    let meanwhile = async {
        let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 7 \
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while db.value(held).await? != "1" {
            tokio::task::yield_now().await;
        }
        restore(&db, tenant.id).await?.context("in time")?;
        delete(&db, tenant.id).await?;
        barrier.batch_execute("SELECT pg_advisory_unlock(7)").await?;
        anyhow::Ok(())
    };
    let (swept, done) = tokio::join!(sweep(&db), meanwhile);
    done?;
    assert_eq!(swept?, (0, 0));
    assert!(restore(&db, tenant.id).await?.is_some(), "there is a way back for 30 days");
    Ok(())
}

/// Whichever comes first, the other finds it done.
#[tokio::test]
async fn a_purge_does_not_begin_while_its_tenant_is_being_restored() -> Result<()> {
    let db = probe::database().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    delete(&db, tenant.id).await?;
    let_time_pass(&db, tenant.id).await?;
    let restoring = async |tx: &mut _| {
        tenants::lock(tx, tenant.id).await?;
        // The sweeper passes over a row that is held.
        assert_eq!(sweep(&db).await.map_err(|error| DbError::Setup(error.to_string()))?, (0, 0));
        lifecycle::restore(tx, tenant.id, SystemClock.now()).await
    };
    let restored = db.db()?.platform_write::<_, DbError>(Authority::machinery(), restoring).await?;
    assert_eq!(restored.context("in time")?.status, TenantStatus::Active);
    assert_eq!(sweep(&db).await?, (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_tenant_in_service_is_never_purged_whatever_asks_for_it() -> Result<()> {
    let db = probe::database().await?;
    let tenant = furnished(&db, "acme").await?;
    assert_eq!(step(&db, tenant.id).await?, Advanced::Refused);
    db.sql("INSERT INTO platform.tenant_purges (tenant_id, slug) SELECT id, slug FROM platform.tenants")
        .await?;
    assert_eq!(step(&db, tenant.id).await?, Advanced::Refused);
    assert_eq!(traces(&db, &tenant).await?, EVERYTHING);
    assert_eq!(sweep(&db).await?, (0, 0));
    Ok(())
}

/// With a schema from the pool and without.
#[tokio::test]
async fn a_tenant_that_was_never_built_is_withdrawn_at_once() -> Result<()> {
    let db = probe::database().await?;
    let at = SystemClock.now();
    let (owner, pooled) = (db.owner()?, TenantId::mint(at));
    owner.write(async |tx| build_ahead(tx, pooled, at).await).await?;
    for (slug, there) in [("pooled", "schema role pool owner"), ("bare", "owner")] {
        let tenant = db.sign_up(slug, PlanName::FREE).await?;
        assert_eq!(traces(&db, &tenant).await?, there);
        let withdrawn = delete(&db, tenant.id).await?;
        assert_eq!(withdrawn.purge_after, withdrawn.deleted_at);
        let jobs = format!(
            "SELECT count(*) FROM platform.jobs WHERE kind = 'purge_tenant' AND payload ->> 'tenant' = '{}'",
            tenant.id
        );
        assert_eq!(db.value(&jobs).await?, "1", "its purge has begun");
        assert!(restore(&db, tenant.id).await?.is_none());
        // The job that was to build it comes too late.
        let late = owner.write(async |tx| provision_tenant(tx, tenant.id, JobId::mint(at), at).await);
        assert_eq!(late.await?, Provisioned::Withdrawn);
        let receipt = purge(&db, tenant.id).await?;
        assert_eq!((receipt.schema, receipt.pending_owner, receipt.audit_kept), (slug == "pooled", true, 0));
        assert_eq!(traces(&db, &tenant).await?, "purge_tenant");
        assert_eq!(unwell(&db).await?, []);
        db.create_tenant(slug, PlanName::FREE).await?;
    }
    Ok(())
}

async fn jobs(db: &TestDb, kind: &str) -> Result<String> {
    let sql = "SELECT coalesce(string_agg(state, ' ' ORDER BY id), '') FROM platform.jobs WHERE kind =";
    db.value(&format!("{sql} '{kind}'")).await
}

#[tokio::test]
async fn a_building_that_was_given_up_is_asked_for_again_and_later_each_time() -> Result<()> {
    let db = probe::database().await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    db.create_tenant("in-service", PlanName::FREE).await?;
    // No job was ever asked for that builds the tenant.
    assert_eq!(sweep(&db).await?, (1, 0));
    assert_eq!(jobs(&db, "provision_tenant").await?, "queued");
    assert_eq!(sweep(&db).await?, (0, 0), "a job is on its way");
    for (failures, minutes) in [(1, 15), (2, 30), (3, 60), (6, 360), (9, 360)] {
        db.sql("DELETE FROM platform.jobs").await?;
        let failed = |ago: i32| {
            format!(
                "INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts, state, attempts, error, finished_at) \
                 SELECT gen_random_uuid(), 'provision_tenant', '{}', '{{}}', 10, 'failed', 10, 'x', now() - interval '{ago} minutes' \
                 FROM generate_series(1, {failures})",
                tenant.id.uuid()
            )
        };
        db.sql(&failed(minutes - 1)).await?;
        assert_eq!(sweep(&db).await?, (0, 0), "{failures} failures, the last {} minutes ago", minutes - 1);
        db.sql("DELETE FROM platform.jobs").await?;
        db.sql(&failed(minutes + 1)).await?;
        assert_eq!(sweep(&db).await?, (1, 0), "{failures} failures, the last {} minutes ago", minutes + 1);
    }
    Ok(())
}

#[tokio::test]
async fn an_operator_need_not_wait_for_the_sweeper() -> Result<()> {
    let db = probe::database().await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let failed = "UPDATE platform.jobs SET state = 'failed', error = 'x', finished_at = now()";
    let first = retry(&db, tenant.id).await?.context("it waits for a job")?.job;
    let on_its_way = Awaited { job: first, is_changed: false };
    assert_eq!(retry(&db, tenant.id).await?, Some(on_its_way));
    db.sql("UPDATE platform.jobs SET run_at = now() + interval '1 hour', attempts = 3").await?;
    assert_eq!(retry(&db, tenant.id).await?, Some(Awaited { job: first, is_changed: true }));
    assert_eq!(db.value("SELECT run_at <= now() FROM platform.jobs").await?, "t", "it is due at once");
    db.sql(failed).await?;
    let second = retry(&db, tenant.id).await?.context("it waits for a job")?;
    assert!(second.job != first && second.is_changed, "{second:?}");

    delete(&db, tenant.id).await?;
    let read = async |tx: &mut _, id| queue::operation(tx, id).await;
    let purging = retry(&db, tenant.id).await?.context("its purge has begun")?;
    assert!(!purging.is_changed, "{purging:?}");
    db.sql(&format!("{failed} WHERE kind = 'purge_tenant'")).await?;
    let again = retry(&db, tenant.id).await?.context("its purge is not finished")?;
    assert!(again.job != purging.job && again.is_changed, "{again:?}");
    let job = db
        .db()?
        .platform_read::<_, DbError>(Authority::machinery(), async |tx| read(tx, again.job).await)
        .await?;
    assert_eq!(job.map(|job| (job.kind, job.state)), Some(("purge_tenant".to_owned(), JobState::Queued)));
    purge(&db, tenant.id).await?;
    assert_eq!(retry(&db, tenant.id).await?, None);
    let active = db.create_tenant("other", PlanName::FREE).await?;
    assert_eq!(retry(&db, active.id).await?, None);
    delete(&db, active.id).await?;
    assert_eq!(retry(&db, active.id).await?, None, "it is kept");
    Ok(())
}

#[tokio::test]
async fn a_purge_whose_job_is_gone_is_asked_for_again() -> Result<()> {
    let db = probe::database().await?;
    let tenant = furnished(&db, "acme").await?;
    delete(&db, tenant.id).await?;
    let_time_pass(&db, tenant.id).await?;
    assert_eq!(sweep(&db).await?, (0, 1));
    step(&db, tenant.id).await?;
    assert_eq!(sweep(&db).await?, (0, 0), "a job is on its way");
    let fail = "UPDATE platform.jobs SET state = 'failed', error = 'x', finished_at = now() - interval '16 minutes' WHERE kind = 'purge_tenant'";
    db.sql(fail).await?;
    assert_eq!(sweep(&db).await?, (0, 1));
    assert_eq!(jobs(&db, "purge_tenant").await?.split(' ').collect::<Vec<_>>().len(), 2);
    db.sql("DELETE FROM platform.jobs WHERE kind = 'purge_tenant'").await?;
    assert_eq!(sweep(&db).await?, (0, 1));
    purge(&db, tenant.id).await?;
    assert_eq!(traces(&db, &tenant).await?, WHAT_STAYS);
    Ok(())
}

#[tokio::test]
async fn whoever_has_a_schema_is_housekept_until_its_purge_begins() -> Result<()> {
    let db = probe::database().await?;
    let mut made = Vec::new();
    for slug in ["active", "suspended", "deleted", "leaving", "building"] {
        made.push(if slug == "building" {
            db.sign_up(slug, PlanName::FREE).await?.id
        } else {
            db.create_tenant(slug, PlanName::FREE).await?.id
        });
    }
    db.sql("UPDATE platform.tenants SET status = 'suspended' WHERE slug = 'suspended'").await?;
    let [active, suspended, deleted, leaving, _building] = made[..] else { anyhow::bail!("five") };
    delete(&db, deleted).await?;
    delete(&db, leaving).await?;
    let_time_pass(&db, leaving).await?;
    sweep(&db).await?;
    let mut expected = vec![active, suspended, deleted];
    expected.sort_unstable();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let read = async |tx: &mut _| tenants::with_schema(tx, after, 2).await;
        let page = db.db()?.platform_read::<_, DbError>(Authority::machinery(), read).await?;
        after = page.last().copied();
        found.extend(page);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
    let at = SystemClock.now();
    let ask = async |tx: &mut _| queue::enqueue_for_tenants(tx, &PurgeExpired {}, "k", &found, at).await;
    assert_eq!(db.db()?.platform_write::<_, DbError>(Authority::machinery(), ask).await?, 3);
    Ok(())
}

/// Whatever comes in when everything of its kind was removed already goes with the last step.
#[tokio::test]
async fn what_comes_in_during_a_purge_goes_at_its_end() -> Result<()> {
    let db = probe::database().await?;
    let tenant = furnished(&db, "acme").await?;
    delete(&db, tenant.id).await?;
    let_time_pass(&db, tenant.id).await?;
    sweep(&db).await?;
    for _ in [Step::Jobs, Step::Audit, Step::Schema, Step::Records] {
        assert_eq!(step(&db, tenant.id).await?, Advanced::Going);
    }
    let (id, text) = (tenant.id.uuid(), tenant.id);
    db.sql(&format!(
        "INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts) VALUES (gen_random_uuid(), 'purge_expired', '{id}', '{{}}', 5);
         INSERT INTO platform.revocations (tenant_id, subject, subject_id) VALUES ('{id}', 'tenant', '{id}');
         INSERT INTO platform.scaling_decisions VALUES (gen_random_uuid(), '{id}', now(), 'hold', 1, 1, 0, NULL, '');
         INSERT INTO platform.idempotency_keys VALUES ('opr_a', 'r', 'late', '', 202, NULL, '{text}', now())"
    ))
    .await?;
    let receipt = purge(&db, tenant.id).await?;
    assert_eq!(traces(&db, &tenant).await?, WHAT_STAYS);
    assert_eq!((receipt.jobs, receipt.revocations, receipt.scaling, receipt.answers), (5, 2, 4, 2));
    Ok(())
}

/// As cold gigabytes on a slow disk are: a table that cannot be counted in the time of a statement. Another has more rows
/// than are counted.
#[tokio::test]
async fn a_table_that_takes_too_long_to_count_holds_no_purge_up() -> Result<()> {
    let db = probe::database().await?;
    let tenant = furnished(&db, "acme").await?;
    let schema = tenant.schema();
    db.sql(&format!(
        "CREATE TABLE {schema}.slow (n int); INSERT INTO {schema}.slow VALUES (1);
         CREATE TABLE {schema}.unknown (n int); INSERT INTO {schema}.unknown VALUES (1);
         CREATE TABLE {schema}.large (n int); INSERT INTO {schema}.large SELECT generate_series(1, {COUNTED} + 50);
         ANALYZE {schema}.slow, {schema}.large;
         ALTER TABLE {schema}.slow ENABLE ROW LEVEL SECURITY;
         CREATE POLICY slow ON {schema}.slow USING (pg_sleep(60) IS NOT NULL);
         ALTER TABLE {schema}.unknown ENABLE ROW LEVEL SECURITY;
         CREATE POLICY slow ON {schema}.unknown USING (pg_sleep(60) IS NOT NULL);
         GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO bulkhead_owner"
    ))
    .await?;
    delete(&db, tenant.id).await?;
    let_time_pass(&db, tenant.id).await?;
    sweep(&db).await?;
    let pool = Pool::new(db.connector(Login::Provisioner)?, TestDb::pool_options(1));
    let owner = Owner::new(pool, Timeouts { statement_ms: 1_000, ..timeouts() });
    let at = SystemClock.now();
    let receipt = loop {
        let step = async |tx: &mut _| advance(tx, tenant.id, JobId::mint(at), at).await;
        match owner.write::<_, DbError>(step).await? {
            Advanced::Going => {}
            Advanced::Purged(receipt) => break receipt,
            Advanced::Refused => anyhow::bail!("refused"),
        }
    };
    assert_eq!(receipt.rows.get("things"), Some(&7), "the others are counted");
    let estimated = [("large", Some(COUNTED + 50)), ("slow", Some(1)), ("unknown", None)];
    assert_eq!(receipt.rows_estimated, estimated.map(|(table, rows)| (table.to_owned(), rows)).into());
    assert_eq!(traces(&db, &tenant).await?, WHAT_STAYS);
    Ok(())
}

/// A migration of the tenant has its row, and is still to work in the schema.
#[tokio::test]
async fn a_schema_is_not_dropped_under_a_migration() -> Result<()> {
    let db = probe::database().await?;
    let tenant = furnished(&db, "acme").await?;
    delete(&db, tenant.id).await?;
    let_time_pass(&db, tenant.id).await?;
    sweep(&db).await?;
    for _ in [Step::Jobs, Step::Audit] {
        assert_eq!(step(&db, tenant.id).await?, Advanced::Going);
    }
    let migration = db.session(Login::Admin).await?;
    let claim = format!(
        "BEGIN; SELECT FROM platform.tenant_schema_versions WHERE tenant_id = '{}' FOR UPDATE",
        tenant.id.uuid()
    );
    migration.batch_execute(&claim).await?;
    let migrated = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND usename = 'bulkhead_provisioner' AND wait_event_type = 'Lock'";
        while db.value(waiting).await? != "1" {
            tokio::task::yield_now().await;
        }
        // Nothing of the schema is locked by the purge that waits.
        let work = format!(
            "SET LOCAL lock_timeout = '2s'; ALTER TABLE {}.users ADD COLUMN colour text; COMMIT",
            tenant.schema()
        );
        anyhow::Ok(migration.batch_execute(&work).await?)
    };
    let (dropped, migrated) = tokio::join!(step(&db, tenant.id), migrated);
    migrated?;
    assert_eq!(dropped?, Advanced::Going);
    assert!(!traces(&db, &tenant).await?.contains("schema"));
    purge(&db, tenant.id).await?;
    Ok(())
}

/// Two workers that purge the same tenant, as when one was taken for dead.
#[tokio::test]
async fn two_that_purge_the_same_tenant_wait_for_each_other() -> Result<()> {
    let db = probe::database().await?;
    let tenant = furnished(&db, "acme").await?;
    delete(&db, tenant.id).await?;
    let_time_pass(&db, tenant.id).await?;
    sweep(&db).await?;
    let (one, two) = tokio::join!(purge(&db, tenant.id), purge(&db, tenant.id));
    assert_eq!(one?, two?);
    assert_eq!(traces(&db, &tenant).await?, WHAT_STAYS);
    Ok(())
}

#[tokio::test]
async fn the_platform_may_begin_a_purge_and_not_say_what_it_has_done() -> Result<()> {
    let db = probe::database().await?;
    let platform = db.session(Login::Platform).await?;
    platform.batch_execute("SET ROLE bulkhead_platform_rw; SET search_path = platform").await?;
    for (table, sql) in [
        ("tenant_purges", "UPDATE tenant_purges SET finished_at = now()"),
        ("tenant_purges", "DELETE FROM tenant_purges"),
        ("tenant_audit_log", "DELETE FROM tenant_audit_log"),
        ("tenant_audit_log", "UPDATE tenant_audit_log SET actor = 'x'"),
        ("pending_owners", "DELETE FROM pending_owners"),
    ] {
        let refused = platform.batch_execute(sql).await.unwrap_err();
        let why = refused.as_db_error().map(|error| error.message().to_owned());
        assert_eq!(why, Some(format!("permission denied for table {table}")), "{sql}");
    }
    let job = serde_json::to_value(PurgeTenant { tenant: TenantId::mint(SystemClock.now()) })?;
    assert!(job["tenant"].as_str().context("text")?.starts_with("ten_"));
    Ok(())
}
