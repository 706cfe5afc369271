//! Tables across tenants that a set other than the core's has.

use anyhow::{Context as _, Result};
use bulkhead_db::{
    Authority, DbError, DbResult, Owner, TenantTx,
    fleet::{
        inspect::{Level, inspect},
        migrate::{CORE, MigrateOptions, Migration, MigrationSet, Sets, migrate, plan},
        purge::{Advanced, advance},
    },
    platform::{lifecycle, tenants},
};
use bulkhead_domain::{Clock as _, JobId, PlanName, SystemClock};
use bulkhead_fixtures::{Login, TestDb, TestTenant};
use chrono::TimeDelta;
use diesel::{QueryableByName, sql_types::BigInt};

const NUMBERS: Migration = Migration::new(
    "2026-12-01-000001_numbers",
    "CREATE TABLE numbers (tenant_id uuid PRIMARY KEY, last bigint NOT NULL);
     CREATE FUNCTION next_number() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
         INSERT INTO x_invoices.numbers AS n VALUES (gate.tenant(), 1)
         ON CONFLICT (tenant_id) DO UPDATE SET last = n.last + 1 RETURNING last
     $$;
     CREATE TABLE lines (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id uuid NOT NULL);
     CREATE INDEX lines_tenant ON lines (tenant_id);
     CREATE FUNCTION forget(whose uuid, up_to integer) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
         WITH number AS (DELETE FROM x_invoices.numbers WHERE tenant_id = whose RETURNING 1),
              line AS (DELETE FROM x_invoices.lines WHERE id = ANY (ARRAY(
                  SELECT id FROM x_invoices.lines WHERE tenant_id = whose LIMIT up_to)) RETURNING 1)
         SELECT (SELECT count(*) FROM number) + (SELECT count(*) FROM line)
     $$;
     GRANT EXECUTE ON FUNCTION next_number TO bulkhead_tenants;",
);
const MORE: Migration = Migration::new("2026-12-02-000001_more", "ALTER TABLE numbers ADD COLUMN more int");

const INVOICES: MigrationSet = MigrationSet::new("invoices", &[]).with_platform(&[NUMBERS]);
const NEXT: MigrationSet = MigrationSet::new("invoices", &[]).with_platform(&[NUMBERS, MORE]);

async fn database(set: MigrationSet) -> Result<TestDb> {
    let (db, sets) = (TestDb::new().await?, Sets::new([CORE, set])?);
    sets.judge()?;
    migrate(&db.owner()?, &sets, &MigrateOptions::default(), &|_| {}).await?;
    Ok(db)
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

async fn next(db: &TestDb, tenant: &TestTenant) -> Result<i64> {
    let ask = async |tx: &mut TenantTx| {
        let row: Number = tx.one(diesel::sql_query("SELECT x_invoices.next_number() AS number")).await?;
        Ok(row.number)
    };
    Ok(db.db()?.write::<_, DbError>(tenant.proven(), ask).await?)
}

async fn unwell(db: &TestDb) -> Result<Vec<String>> {
    let found = inspect(&db.owner()?, &Sets::new([CORE, INVOICES])?).await?;
    let found = found.into_iter().filter(|finding| finding.level != Level::Ok && finding.check != "server");
    Ok(found.map(|finding| format!("{}: {}", finding.check, finding.detail)).collect())
}

#[tokio::test]
async fn a_set_brings_tables_across_tenants_that_are_reached_by_function_alone() -> Result<()> {
    let db = database(INVOICES).await?;
    let (a, b) =
        (db.create_tenant("one", PlanName::FREE).await?, db.create_tenant("two", PlanName::FREE).await?);
    assert_eq!((next(&db, &a).await?, next(&db, &a).await?, next(&db, &b).await?), (1, 2, 1));
    assert_eq!(unwell(&db).await?, Vec::<String>::new());
    let session = db.session(Login::Tenant).await?;
    session.batch_execute(&format!("SET ROLE {}", a.schema())).await?;
    for sql in [
        "SELECT * FROM x_invoices.numbers".to_owned(),
        "UPDATE x_invoices.numbers SET last = 9".to_owned(),
        format!("SELECT x_invoices.forget('{}', 1)", b.id.uuid()),
        "SELECT * FROM x_invoices.__diesel_schema_migrations".to_owned(),
    ] {
        let refused = session.batch_execute(&sql).await.err().context(sql.clone())?;
        let why = refused.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
        assert!(why.starts_with("permission denied"), "{sql}: {why}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_pending_is_planned_and_applied_once() -> Result<()> {
    let db = database(INVOICES).await?;
    let (owner, sets) = (db.owner()?, Sets::new([CORE, NEXT])?);
    assert_eq!(plan(&owner, &sets).await?.extensions, ["invoices/2026-12-02-000001_more"]);
    let report = migrate(&owner, &sets, &MigrateOptions::default(), &|_| {}).await?;
    assert_eq!(report.platform_applied, ["invoices/2026-12-02-000001_more"]);
    assert!(plan(&owner, &sets).await?.is_empty());
    let fresh = TestDb::new().await?;
    assert_eq!(plan(&fresh.owner()?, &sets).await?.extensions.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_look_finds_what_opens_such_a_schema() -> Result<()> {
    let db = database(INVOICES).await?;
    for (open, told, close) in [
        (
            "GRANT SELECT ON x_invoices.numbers TO bulkhead_tenants",
            "bulkhead_tenants reaches x_invoices.numbers",
            "REVOKE SELECT ON x_invoices.numbers FROM bulkhead_tenants",
        ),
        (
            "GRANT EXECUTE ON FUNCTION x_invoices.forget TO bulkhead_tenants",
            "x_invoices.forget(uuid,integer) may be called by tenants",
            "REVOKE EXECUTE ON FUNCTION x_invoices.forget FROM bulkhead_tenants",
        ),
        (
            "GRANT EXECUTE ON FUNCTION x_invoices.next_number TO PUBLIC",
            "x_invoices.next_number() may be called by PUBLIC",
            "REVOKE EXECUTE ON FUNCTION x_invoices.next_number FROM PUBLIC",
        ),
        (
            "ALTER FUNCTION x_invoices.next_number SECURITY INVOKER",
            "x_invoices.next_number() is not SECURITY DEFINER",
            "ALTER FUNCTION x_invoices.next_number SECURITY DEFINER",
        ),
        (
            "ALTER FUNCTION x_invoices.forget RENAME TO forgot",
            "x_invoices has rows of tenants, and no function forget(uuid, integer) that returns a bigint removes them",
            "ALTER FUNCTION x_invoices.forgot RENAME TO forget",
        ),
        (
            "ALTER TABLE x_invoices.numbers OWNER TO bulkhead_platform_rw",
            "x_invoices.numbers belongs to bulkhead_platform_rw",
            "ALTER TABLE x_invoices.numbers OWNER TO bulkhead_owner",
        ),
        (
            "GRANT USAGE ON SCHEMA x_invoices TO bulkhead_tenant",
            "bulkhead_tenant reaches the schema x_invoices",
            "REVOKE USAGE ON SCHEMA x_invoices FROM bulkhead_tenant",
        ),
        (
            "GRANT CREATE ON SCHEMA x_invoices TO bulkhead_tenants",
            "bulkhead_tenants may make something in the schema x_invoices",
            "REVOKE CREATE ON SCHEMA x_invoices FROM bulkhead_tenants",
        ),
    ] {
        db.sql(open).await?;
        let seen = unwell(&db).await?;
        assert!(seen.iter().any(|finding| finding.contains(told)), "{open}: {seen:?}");
        db.sql(close).await?;
        assert_eq!(unwell(&db).await?, Vec::<String>::new(), "{close}");
    }
    Ok(())
}

/// Deletes a tenant and lets its purge begin.
async fn begin_purge(db: &TestDb, gone: &TestTenant) -> Result<()> {
    let at = SystemClock.now();
    let delete = async |tx: &mut _| {
        let tenant = tenants::lock(tx, gone.id).await?.ok_or(DbError::Aborted)?;
        lifecycle::delete(tx, &tenant, TimeDelta::days(30), at).await?;
        Ok::<_, DbError>(())
    };
    db.db()?.platform_write(Authority::machinery(), delete).await?;
    db.sql(&format!(
        "UPDATE platform.tenants SET purge_after = now() - interval '2 hours' WHERE id = '{}'",
        gone.id.uuid()
    ))
    .await?;
    let sweep = async |tx: &mut _| lifecycle::sweep(tx, SystemClock.now()).await;
    db.db()?.platform_write::<_, DbError>(Authority::machinery(), sweep).await?;
    Ok(())
}

async fn step(owner: &Owner, gone: &TestTenant) -> DbResult<Advanced> {
    let at = SystemClock.now();
    owner.write(async |tx| advance(tx, gone.id, JobId::mint(at), at).await).await
}

/// Which step comes next, and how many rows of the tenant there are in tables across tenants.
async fn left(db: &TestDb, gone: &TestTenant) -> Result<String> {
    let id = gone.id.uuid();
    db.value(&format!(
        "SELECT step || ' ' || (SELECT count(*) FROM x_invoices.lines WHERE tenant_id = '{id}')
             + (SELECT count(*) FROM x_invoices.numbers WHERE tenant_id = '{id}')
         FROM platform.tenant_purges WHERE tenant_id = '{id}'"
    ))
    .await
}

async fn to_records(db: &TestDb, owner: &Owner, gone: &TestTenant) -> Result<()> {
    while !left(db, gone).await?.starts_with("records") {
        assert_eq!(step(owner, gone).await?, Advanced::Going);
    }
    Ok(())
}

#[tokio::test]
async fn a_purge_lets_such_tables_forget_the_tenant_in_portions() -> Result<()> {
    let db = database(INVOICES).await?;
    let (gone, stays) =
        (db.create_tenant("gone", PlanName::FREE).await?, db.create_tenant("stays", PlanName::FREE).await?);
    next(&db, &gone).await?;
    next(&db, &stays).await?;
    let lines = |tenant: &TestTenant, rows: u32| {
        format!(
            "INSERT INTO x_invoices.lines (tenant_id) SELECT '{}' FROM generate_series(1, {rows})",
            tenant.id.uuid()
        )
    };
    db.sql(&lines(&gone, 11_000)).await?;
    db.sql(&lines(&stays, 7)).await?;
    begin_purge(&db, &gone).await?;
    let owner = db.owner()?;
    to_records(&db, &owner, &gone).await?;
    assert_eq!(left(&db, &gone).await?, "records 11001");
    assert_eq!(step(&owner, &gone).await?, Advanced::Going);
    assert_eq!(left(&db, &gone).await?, "records 6000");
    // A process that dies in the middle of a portion has removed none of it, and another one goes on.
    let dies = async |tx: &mut _| {
        advance(tx, gone.id, JobId::mint(SystemClock.now()), SystemClock.now()).await?;
        Err::<(), _>(DbError::Aborted)
    };
    assert!(matches!(owner.write(dies).await, Err(DbError::Aborted)));
    assert_eq!(left(&db, &gone).await?, "records 6000");
    for expected in ["records 1000", "records 0", "seal 0"] {
        assert_eq!(step(&owner, &gone).await?, Advanced::Going);
        assert_eq!(left(&db, &gone).await?, expected);
    }
    // What has come meanwhile is removed before the end, too.
    db.sql(&lines(&gone, 5_001)).await?;
    for expected in ["seal 1", "seal 0"] {
        assert_eq!(step(&owner, &gone).await?, Advanced::Going);
        assert_eq!(left(&db, &gone).await?, expected);
    }
    assert!(matches!(step(&owner, &gone).await?, Advanced::Purged(_)));
    let kept = "SELECT (SELECT count(*) FROM x_invoices.lines) || ' ' || (SELECT string_agg(tenant_id::text, ' ') FROM x_invoices.numbers)";
    assert_eq!(db.value(kept).await?, format!("7 {}", stays.id.uuid()));
    Ok(())
}

/// No rows stay because a function is not the one that is called.
#[tokio::test]
async fn a_purge_does_not_go_on_past_a_function_of_another_form() -> Result<()> {
    let db = database(INVOICES).await?;
    let gone = db.create_tenant("gone", PlanName::FREE).await?;
    next(&db, &gone).await?;
    begin_purge(&db, &gone).await?;
    let owner = db.owner()?;
    to_records(&db, &owner, &gone).await?;
    let body = "LANGUAGE sql AS 'DELETE FROM x_invoices.numbers WHERE tenant_id = whose'";
    for other in [
        format!("CREATE FUNCTION x_invoices.forget(whose uuid) RETURNS void {body}"),
        format!("CREATE FUNCTION x_invoices.forget(whose uuid, up_to integer) RETURNS void {body}"),
    ] {
        db.sql("ALTER FUNCTION x_invoices.forget(uuid, integer) RENAME TO kept").await?;
        db.sql(&other).await?;
        let refused = step(&owner, &gone).await.err().context(other)?.to_string();
        assert!(refused.contains("x_invoices.forget is not a function of (uuid, integer)"), "{refused}");
        assert_eq!(left(&db, &gone).await?, "records 1");
        db.sql("DROP FUNCTION x_invoices.forget").await?;
        db.sql("ALTER FUNCTION x_invoices.kept RENAME TO forget").await?;
    }
    step(&owner, &gone).await?;
    assert_eq!(left(&db, &gone).await?, "records 0");
    Ok(())
}
