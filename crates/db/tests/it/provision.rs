//! Building tenants.

use anyhow::{Context as _, Result};
use bulkhead_db::{
    DbError, Owner,
    fleet::{
        migrate::{MigrateOptions, Migration, migrate_tenants},
        provision::{Provisioned, provision_tenant},
    },
};
use bulkhead_domain::{Clock as _, JobId, PlanName, SystemClock, TenantId};
use bulkhead_fixtures::{TestDb, TestTenant};

use crate::support::release_with;

async fn build(owner: &Owner, tenant: TenantId) -> Result<Provisioned, DbError> {
    let at = SystemClock.now();
    owner.write(async |tx| provision_tenant(tx, tenant, JobId::mint(at), at).await).await
}

/// Role, schema, recorded version, pending owner, status: what is there of a tenant.
async fn state(db: &TestDb, tenant: &TestTenant) -> Result<String> {
    let (schema, id) = (tenant.schema(), tenant.id.uuid());
    db.value(&format!(
        "SELECT concat_ws(' ', CASE WHEN to_regrole('{schema}') IS NOT NULL THEN 'role' END,
            CASE WHEN to_regnamespace('{schema}') IS NOT NULL THEN 'schema' END,
            (SELECT 'version' FROM platform.tenant_schema_versions WHERE tenant_id = '{id}'),
            (SELECT 'pending' FROM platform.pending_owners WHERE tenant_id = '{id}'), status)
         FROM platform.tenants WHERE id = '{id}'"
    ))
    .await
}

#[tokio::test]
async fn a_tenant_gets_its_role_schema_owner_and_first_audit_entry() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.sign_up("acme", PlanName::PRO).await?;
    assert_eq!(state(&db, &tenant).await?, "pending provisioning");
    assert_eq!(build(&db.owner()?, tenant.id).await?, Provisioned::Built);
    assert_eq!(state(&db, &tenant).await?, "role schema version active");

    let schema = tenant.schema();
    let owner = format!(
        "SELECT id || ' ' || email || ' ' || role || ' ' || left(password_hash, 9) FROM {schema}.users"
    );
    let expected = format!("{} {} owner $argon2id", tenant.owner_id.uuid(), tenant.owner_email);
    assert_eq!(db.value(&owner).await?, expected);
    let audit = format!("SELECT actor || ' ' || action || ' ' || target FROM {schema}.audit_log");
    assert_eq!(db.value(&audit).await?, format!("system provision_tenant {}", tenant.owner_id));

    let role =
        "SELECT rolcanlogin::text || rolinherit || rolsuper || rolcreaterole || rolcreatedb || rolbypassrls
        FROM pg_roles WHERE rolname = ";
    assert_eq!(db.value(&format!("{role} '{schema}'")).await?, "falsetruefalsefalsefalsefalse");
    let owns = format!("SELECT nspowner::regrole FROM pg_namespace WHERE nspname = '{schema}'");
    assert_eq!(db.value(&owns).await?, "bulkhead_owner");
    for (privilege, table, expected) in [
        ("SELECT, INSERT, UPDATE, DELETE", "users", "t"),
        ("INSERT", "audit_log", "f"),
        ("UPDATE", "audit_log", "f"),
        ("DELETE", "audit_log", "f"),
        ("TRUNCATE", "users", "f"),
    ] {
        let sql = format!("SELECT has_table_privilege('{schema}', '{schema}.{table}', '{privilege}')");
        assert_eq!(db.value(&sql).await?, expected, "{privilege} on {table}");
    }
    // It adds entries, and does not say in which transaction.
    for (column, expected) in [("actor", "t"), ("xid", "f")] {
        let sql =
            format!("SELECT has_column_privilege('{schema}', '{schema}.audit_log', '{column}', 'INSERT')");
        assert_eq!(db.value(&sql).await?, expected, "{column}");
    }
    Ok(())
}

#[tokio::test]
async fn building_again_changes_nothing() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let before = db.value("SELECT row_to_json(t) FROM platform.tenants t").await?;
    assert_eq!(build(&db.owner()?, tenant.id).await?, Provisioned::AlreadyActive);
    assert_eq!(db.value("SELECT row_to_json(t) FROM platform.tenants t").await?, before);
    Ok(())
}

#[tokio::test]
async fn two_that_build_the_same_tenant_wait_for_each_other() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let owner = db.owner()?;
    let (a, b, c) =
        tokio::join!(build(&owner, tenant.id), build(&owner, tenant.id), build(&owner, tenant.id));
    let mut outcomes = [a?, b?, c?];
    outcomes.sort_by_key(|outcome| *outcome != Provisioned::Built);
    assert_eq!(outcomes, [Provisioned::Built, Provisioned::AlreadyActive, Provisioned::AlreadyActive]);
    Ok(())
}

#[tokio::test]
async fn a_backend_that_dies_half_way_leaves_nothing_behind() -> Result<()> {
    // Slow where a table says so.
    const SLOW: Migration = Migration::new(
        "2999-01-01-000000_slow",
        "SELECT pg_sleep(30) WHERE to_regclass('platform.slow') IS NOT NULL;",
    );
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    migrate_tenants(&owner, &release_with(&[SLOW]), &MigrateOptions::default(), &|_| {}).await?;
    db.sql("CREATE TABLE platform.slow ()").await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let kill = async {
        // The role and the whole schema are made before the sleep; the backend is killed in it.
        let sleeping = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event = 'PgSleep'";
        while db.value(sleeping).await? == "0" {
            tokio::task::yield_now().await;
        }
        Ok::<_, anyhow::Error>(())
    };
    let (built, killed) = tokio::join!(build(&owner, tenant.id), kill);
    killed?;
    let error = built.err().context("it was killed")?;
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(state(&db, &tenant).await?, "pending provisioning");
    // The next attempt finds nothing in its way.
    db.sql("DROP TABLE platform.slow").await?;
    assert_eq!(build(&owner, tenant.id).await?, Provisioned::Built);
    assert_eq!(state(&db, &tenant).await?, "role schema version active");
    Ok(())
}

#[tokio::test]
async fn what_the_caller_does_in_the_same_transaction_decides() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let at = SystemClock.now();
    let refused = db
        .owner()?
        .write(async |tx| {
            provision_tenant(tx, tenant.id, JobId::mint(at), at).await?;
            Err::<(), _>(DbError::Busy)
        })
        .await;
    assert!(matches!(refused, Err(DbError::Busy)));
    assert_eq!(state(&db, &tenant).await?, "pending provisioning");
    Ok(())
}

#[tokio::test]
async fn suspended_and_deleted_tenants_do_not_come_into_service() -> Result<()> {
    let db = TestDb::new().await?;
    let (suspended, deleted) =
        (db.sign_up("suspended", PlanName::FREE).await?, db.sign_up("deleted", PlanName::FREE).await?);
    db.sql(
        "UPDATE platform.tenants SET status = 'suspended' WHERE slug = 'suspended'; UPDATE platform.tenants \
         SET status = 'deleted', deleted_at = now(), purge_after = now() WHERE slug = 'deleted'",
    )
    .await?;
    assert_eq!(build(&db.owner()?, suspended.id).await?, Provisioned::Built);
    assert_eq!(state(&db, &suspended).await?, "role schema version suspended");
    assert_eq!(build(&db.owner()?, deleted.id).await?, Provisioned::Withdrawn);
    assert_eq!(state(&db, &deleted).await?, "pending deleted");
    let unknown = build(&db.owner()?, TenantId::mint(SystemClock.now())).await;
    assert!(matches!(unknown, Err(DbError::Query(_))), "{unknown:?}");
    Ok(())
}
