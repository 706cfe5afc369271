//! At which version tenants are built, when programs of two releases are there.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bulkhead_db::{
    DbError, Owner,
    fleet::{
        migrate::{
            MigrateOptions, Migration, MigrationReport, TENANT_MIGRATIONS, migrate_platform, migrate_tenants,
        },
        provision::{
            Provisioned, provision_tenant,
            schema_pool::{build_ahead, count_ready, drop_surplus},
        },
    },
};
use bulkhead_domain::{Clock as _, JobId, PlanName, SystemClock, TenantId};
use bulkhead_fixtures::{Login, TestDb};
use tokio::time::timeout;

use crate::support::catalog;

/// A later release's migrations, which this program does not know.
const NOTES: Migration = Migration::new(
    "2999-01-01-000000_notes",
    "CREATE TABLE notes (id int PRIMARY KEY); GRANT SELECT ON notes TO :\"tenant\" -- no semicolon",
    "",
);
const LABELS: Migration =
    Migration::new("2999-01-01-000001_labels", "ALTER TABLE notes ADD COLUMN label text", "");

/// The lock that a migration takes alone and whoever builds a tenant shares.
const FLEET_LOCK: i64 = 0x6275_6c6b_666c_6565;

fn newer() -> Vec<Migration> {
    TENANT_MIGRATIONS.iter().copied().chain([NOTES, LABELS]).collect()
}

fn product() -> String {
    TENANT_MIGRATIONS.last().map(|migration| migration.version().to_string()).unwrap_or_default()
}

async fn migrate(owner: &Owner, set: &[Migration]) -> Result<MigrationReport, DbError> {
    migrate_tenants(owner, set, &MigrateOptions::default(), &|_| {}).await
}

async fn provision(owner: &Owner, set: &[Migration], id: TenantId) -> Result<Provisioned, DbError> {
    let at = SystemClock.now();
    owner.write(async |tx| provision_tenant(tx, set, id, JobId::mint(at), at).await).await
}

async fn ahead(owner: &Owner, set: &[Migration]) -> Result<TenantId, DbError> {
    let at = SystemClock.now();
    let id = TenantId::mint(at);
    owner.write(async |tx| build_ahead(tx, set, id, at).await).await?;
    Ok(id)
}

async fn version(db: &TestDb, id: TenantId) -> Result<String> {
    let sql =
        format!("SELECT version FROM platform.tenant_schema_versions WHERE tenant_id = '{}'", id.uuid());
    db.value(&sql).await
}

async fn target(db: &TestDb) -> Result<String> {
    db.value("SELECT version FROM platform.tenant_schema_target").await
}

/// A release was rolled back: its migration stays, its program is gone. Before there is any tenant, so nothing but the row
/// can tell.
#[tokio::test]
async fn an_older_program_builds_the_first_tenant_as_the_newer_one_would() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let report = migrate(&owner, &newer()).await?;
    assert_eq!((report.migrated, report.already), (0, 0), "there is no tenant yet");
    assert_eq!(target(&db).await?, LABELS.version().to_string());

    let first = db.sign_up("first", PlanName::FREE).await?;
    assert_eq!(provision(&owner, TENANT_MIGRATIONS, first.id).await?, Provisioned::Built);
    assert_eq!(version(&db, first.id).await?, LABELS.version().to_string());
    let fresh = db.sign_up("fresh", PlanName::FREE).await?;
    assert_eq!(provision(&owner, &newer(), fresh.id).await?, Provisioned::Built);
    let (older, newer) = (catalog(&db, &[&first.schema()]).await?, catalog(&db, &[&fresh.schema()]).await?);
    assert!(older.contains("relation §0.notes grants SELECT to §0"), "{older}");
    assert!(older.contains("column §0.notes.label"), "{older}");
    assert_eq!(older, newer);
    Ok(())
}

#[tokio::test]
async fn an_older_program_keeps_the_pool_as_the_newer_one_would() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let behind = ahead(&owner, TENANT_MIGRATIONS).await?;
    migrate(&owner, &newer()).await?;
    let ready = async |owner: &Owner| owner.write(async |tx| count_ready(tx).await).await;
    assert_eq!(ready(&owner).await?, 0, "what was built before is behind");
    let built = ahead(&owner, TENANT_MIGRATIONS).await?;
    assert_eq!(ready(&owner).await?, 1);
    assert!(owner.write::<_, DbError>(async |tx| drop_surplus(tx, 8).await).await?, "what is behind goes");
    assert!(!owner.write::<_, DbError>(async |tx| drop_surplus(tx, 8).await).await?, "what is not stays");

    let schema = db.value("SELECT min(role_name) FROM platform.schema_pool").await?;
    let number = format!("SELECT '{schema}'::regnamespace::oid");
    let before = db.value(&number).await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    assert_eq!((tenant.id, tenant.schema()), (built, schema));
    assert_ne!(tenant.id, behind);
    assert_eq!(provision(&owner, TENANT_MIGRATIONS, tenant.id).await?, Provisioned::Built);
    assert_eq!(db.value(&number).await?, before, "it moves in, and nothing is built again");
    assert_eq!(version(&db, tenant.id).await?, LABELS.version().to_string());
    Ok(())
}

/// A worker of a new release that starts before `migrate` has run.
#[tokio::test]
async fn a_newer_program_builds_at_the_version_of_the_fleet_until_it_is_migrated() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    assert_eq!(provision(&owner, &newer(), tenant.id).await?, Provisioned::Built);
    assert_eq!(version(&db, tenant.id).await?, product());
    let report = migrate(&owner, &newer()).await?;
    assert_eq!(report.migrated, 1);
    assert_eq!(version(&db, tenant.id).await?, LABELS.version().to_string());
    Ok(())
}

/// An older worker builds while the newer release migrates, and there is no other tenant.
#[tokio::test]
async fn a_migration_waits_for_who_builds_and_migrates_what_was_built() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let builder = db.session(Login::Admin).await?;
    // An older worker in the middle of its transaction: it has the lock, and its tenant cannot be seen yet.
    builder
        .batch_execute(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock_shared({FLEET_LOCK}); \
             INSERT INTO platform.tenant_schema_versions VALUES ('{}', '{}', now()); \
             UPDATE platform.tenants SET status = 'active'; CREATE ROLE {name}; GRANT {name} TO bulkhead_tenant; \
             CREATE SCHEMA {name} AUTHORIZATION bulkhead_owner; SET search_path = {name}; SET ROLE bulkhead_owner; {up}; RESET ROLE",
            tenant.id.uuid(),
            product(),
            name = tenant.schema(),
            up = TENANT_MIGRATIONS.iter().map(|step| step.up().replace(":\"tenant\"", &tenant.schema())).collect::<String>()
        ))
        .await?;
    let newer = newer();
    let built = async {
        let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
        while db.value(waiting).await? == "0" {
            tokio::task::yield_now().await;
        }
        assert_eq!(target(&db).await?, product(), "not before the builder has finished");
        builder.batch_execute("COMMIT").await?;
        anyhow::Ok(())
    };
    let (report, waited) =
        timeout(Duration::from_secs(60), async { tokio::join!(migrate(&owner, &newer), built) }).await?;
    waited?;
    assert_eq!(report?.migrated, 1);
    assert_eq!(version(&db, tenant.id).await?, LABELS.version().to_string());
    Ok(())
}

#[tokio::test]
async fn the_version_never_goes_back() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let before = db.value("SELECT set_at FROM platform.tenant_schema_target").await?;
    migrate(&owner, &newer()).await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    provision(&owner, TENANT_MIGRATIONS, tenant.id).await?;
    // The older release is deployed again, and migrates as every deployment does.
    let report = migrate(&owner, TENANT_MIGRATIONS).await?;
    assert_eq!((report.migrated, report.already), (0, 1));
    assert_eq!(target(&db).await?, LABELS.version().to_string());
    assert_ne!(db.value("SELECT set_at FROM platform.tenant_schema_target").await?, before);
    // Who has the newest set finds nothing to do, and waits for nobody who builds.
    let builder = db.session(Login::Admin).await?;
    builder.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock_shared({FLEET_LOCK})")).await?;
    let report = timeout(Duration::from_secs(30), migrate(&owner, &newer())).await??;
    assert_eq!(report.already, 1);
    Ok(())
}

/// A release whose migration no schema can take must not stop sign-ups, neither before nor after it is rolled back.
#[tokio::test]
async fn a_set_that_builds_no_empty_schema_changes_nothing() -> Result<()> {
    const WRONG: Migration = Migration::new("2999-01-01-000002_wrong", "ALTER TABLE nowhere ADD x int", "");
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let roles = "SELECT count(*) FROM pg_roles r WHERE rolname ~ '^t_' AND NOT EXISTS (
        SELECT FROM pg_namespace WHERE nspname = rolname)";
    let wrong: Vec<_> = newer().into_iter().chain([WRONG]).collect();
    let refused = migrate(&owner, &wrong).await;
    assert!(matches!(&refused, Err(DbError::Query(_))), "{refused:?}");
    assert_eq!(target(&db).await?, product());
    let stored = "SELECT count(*) FROM platform.tenant_migrations WHERE version > '2999'";
    assert_eq!(db.value(stored).await?, "0");
    for set in [TENANT_MIGRATIONS, &wrong] {
        let tenant = db.sign_up(&format!("acme-{}", set.len()), PlanName::FREE).await?;
        assert_eq!(provision(&owner, set, tenant.id).await?, Provisioned::Built);
    }
    let here = db.value("SELECT count(*) FROM pg_namespace WHERE nspname ~ '^t_'").await?;
    assert_eq!(here, "2", "what was tried out is gone: {}", db.value(roles).await?);
    Ok(())
}

#[tokio::test]
async fn a_program_that_cannot_read_how_tenants_are_built_leaves_it_to_one_that_can() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    migrate(&owner, &newer()).await?;
    db.sql("UPDATE platform.tenant_migrations SET format = 2 WHERE version = '29990101000001'").await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let refused = provision(&owner, TENANT_MIGRATIONS, tenant.id).await;
    assert!(matches!(refused, Err(DbError::Outdated)), "{refused:?}");
    assert!(matches!(ahead(&owner, TENANT_MIGRATIONS).await, Err(DbError::Outdated)));
    // One that knows the version needs nothing that was left.
    assert_eq!(provision(&owner, &newer(), tenant.id).await?, Provisioned::Built);
    Ok(())
}

#[tokio::test]
async fn nobody_builds_before_the_first_migration_has_come_to_its_end() -> Result<()> {
    let db = TestDb::unmigrated().await?;
    let owner = db.owner()?;
    migrate_platform(&owner, &MigrateOptions::default()).await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let refused = provision(&owner, TENANT_MIGRATIONS, tenant.id).await;
    assert!(matches!(refused, Err(DbError::NotMigrated)), "{refused:?}");
    assert!(matches!(ahead(&owner, TENANT_MIGRATIONS).await, Err(DbError::NotMigrated)));
    migrate(&owner, TENANT_MIGRATIONS).await?;
    assert_eq!(provision(&owner, TENANT_MIGRATIONS, tenant.id).await?, Provisioned::Built);
    Ok(())
}

/// The SQL that older programs run as the owner of everything.
#[tokio::test]
async fn only_the_owner_may_say_how_tenants_are_built() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    for (login, role) in
        [(Login::Platform, "bulkhead_platform_rw".to_owned()), (Login::Tenant, tenant.schema())]
    {
        let session = db.session(login).await?;
        session.batch_execute(&format!("SET ROLE {role}")).await?;
        for sql in [
            "UPDATE platform.tenant_migrations SET up = ''",
            "INSERT INTO platform.tenant_migrations VALUES ('3', 'x', 1, '')",
            "DELETE FROM platform.tenant_migrations",
            "UPDATE platform.tenant_schema_target SET version = '3'",
            "DELETE FROM platform.tenant_schema_target",
        ] {
            let refused = session.batch_execute(sql).await.err().context(sql)?;
            let why = refused.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
            assert!(why.starts_with("permission denied"), "{role}: {sql}: {why}");
        }
    }
    Ok(())
}
