//! Migrations that are put right or withdrawn, and what is compared with what.

use anyhow::{Context as _, Result};
use bulkhead_db::{
    DbError, Owner, Pool, Timeouts,
    fleet::{
        inspect::{Level, inspect},
        migrate::{
            CORE, MigrateOptions, Migration, MigrationReport, MigrationSet, Pending, Plan, Sets, Withdrawn,
            forget, migrate_platform, migrate_tenants, plan, revert_platform_once, withdraw,
        },
        provision::{
            Provisioned, provision_tenant,
            schema_pool::{build_ahead, count_ready, drop_surplus},
        },
    },
};
use bulkhead_domain::{Clock as _, JobId, PlanName, SystemClock, TenantId};
use bulkhead_fixtures::{Login, TestDb, timeouts};

use crate::{
    probe,
    support::{catalog, release_with},
};

const NAME: &str = "2999-01-02-000000_colours";
/// An empty schema takes it, and no tenant does: each has an owner.
const WRONG: Migration = Migration::new(NAME, "ALTER TABLE users ADD COLUMN colour text NOT NULL;");
const RIGHT: Migration = Migration::new(NAME, "ALTER TABLE users ADD COLUMN colour text;");
/// The lock that a migration takes alone and a process that builds a tenant shares.
const FLEET_LOCK: i64 = 0x6275_6c6b_666c_6565;

async fn migrate(owner: &Owner, sets: &Sets) -> Result<MigrationReport, DbError> {
    migrate_tenants(owner, sets, &MigrateOptions::default(), &|_| {}).await
}

async fn ahead(owner: &Owner) -> Result<()> {
    let at = SystemClock.now();
    Ok(owner.write(async |tx| build_ahead(tx, TenantId::mint(at), at).await).await?)
}

async fn ready(owner: &Owner) -> Result<usize, DbError> {
    owner.write(async |tx| count_ready(tx).await).await
}

async fn unwell(db: &TestDb, sets: &Sets) -> Result<Vec<String>> {
    let found = inspect(&db.owner()?, sets).await?;
    let found = found.into_iter().filter(|finding| finding.level != Level::Ok && finding.check != "server");
    Ok(found.map(|finding| format!("{}: {}", finding.check, finding.detail)).collect())
}

#[tokio::test]
async fn a_migration_that_no_tenant_has_can_be_put_right() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let (wrong, right) = (release_with(&[WRONG]), release_with(&[RIGHT]));
    assert_eq!(migrate(&owner, &wrong).await?.failed.len(), 1);
    ahead(&owner).await?;
    ahead(&owner).await?;
    // One of the pool's schemas is promised to a tenant already.
    let waiting = db.sign_up("waiting", PlanName::FREE).await?;

    let seen = unwell(&db, &right).await?;
    let told = format!("migrations: core/{NAME} was put right since it was met: run `migrate`");
    assert!(seen.contains(&told), "{seen:?}");
    let pending = vec![Pending { set: "core".to_owned(), name: NAME.to_owned(), tenants: 1 }];
    assert_eq!(plan(&owner, &right).await?, Plan { pending, tenants: 1, ..Plan::default() });
    assert_eq!(migrate(&owner, &right).await?.migrated, 1);
    assert_eq!(ready(&owner).await?, 0, "a schema of the pool has the wrong one");
    assert!(owner.write::<_, DbError>(async |tx| drop_surplus(tx, 8).await).await?, "it goes");
    let at = SystemClock.now();
    let build = async |tx: &mut _| provision_tenant(tx, waiting.id, JobId::mint(at), at).await;
    assert_eq!(owner.write(build).await?, Provisioned::Built);
    let fresh = db.create_tenant_with(&right, "fresh", PlanName::FREE).await?;
    let expected = catalog(&db, &[&fresh.schema()]).await?;
    assert!(expected.contains("column §0.users.colour"), "{expected}");
    assert_eq!(catalog(&db, &[&tenant.schema()]).await?, expected);
    assert_eq!(catalog(&db, &[&waiting.schema()]).await?, expected);
    assert_eq!(unwell(&db, &right).await?, Vec::<String>::new());
    // From now on tenants have it.
    let refused = migrate(&owner, &wrong).await;
    assert!(matches!(refused, Err(DbError::MigrationChanged { .. })), "{refused:?}");
    Ok(())
}

/// Before there is any tenant, nothing but the ledger knows.
#[tokio::test]
async fn a_correction_is_pending_also_where_no_tenant_is() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    migrate(&owner, &release_with(&[WRONG])).await?;
    assert_eq!(plan(&owner, &release_with(&[RIGHT])).await?.pending.len(), 1);
    migrate(&owner, &release_with(&[RIGHT])).await?;
    assert!(plan(&owner, &release_with(&[RIGHT])).await?.is_empty());
    let text = format!("SELECT up FROM platform.fleet_migrations WHERE name = '{NAME}'");
    assert_eq!(db.value(&text).await?, RIGHT.up());
    Ok(())
}

#[tokio::test]
async fn a_migration_that_no_tenant_has_can_be_withdrawn() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let before = catalog(&db, &[&tenant.schema()]).await?;
    let (with, without) = (release_with(&[WRONG]), Sets::core());
    assert_eq!(migrate(&owner, &with).await?.failed.len(), 1);
    ahead(&owner).await?;
    assert_eq!(withdraw(&owner, &with, "core", NAME).await?, Withdrawn::Own);
    assert_eq!(withdraw(&owner, &without, "core", "2999-01-02-000000_colors").await?, Withdrawn::Unknown);
    assert_eq!(withdraw(&owner, &without, "probe", NAME).await?, Withdrawn::Unknown);
    assert_ne!(unwell(&db, &without).await?, Vec::<String>::new());
    assert_eq!(withdraw(&owner, &without, "core", NAME).await?, Withdrawn::Done);
    assert_eq!(ready(&owner).await?, 0, "a schema of the pool has it");
    assert_eq!(
        unwell(&db, &without).await?,
        Vec::<String>::new(),
        "no tenant is marked, none lacks anything"
    );
    assert_eq!(migrate(&owner, &without).await?.already, 1);
    let fresh = db.create_tenant("fresh", PlanName::FREE).await?;
    assert_eq!(catalog(&db, &[&fresh.schema()]).await?, before);
    // Its number is another migration's now, and no schema counts as having that.
    assert_eq!(migrate(&owner, &release_with(&[RIGHT])).await?.migrated, 2);
    ahead(&owner).await?;
    let built = ready(&owner).await?;
    assert_eq!(withdraw(&owner, &without, "core", NAME).await?, Withdrawn::Had(2));
    assert!(built > 0 && ready(&owner).await? == built, "a refusal costs no schema");
    Ok(())
}

#[tokio::test]
async fn what_others_stand_on_is_not_withdrawn() -> Result<()> {
    const LATER: Migration =
        Migration::new("2999-01-03-000000_later", "ALTER TABLE users ALTER COLUMN colour SET DEFAULT 'red';");
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    migrate(&owner, &release_with(&[RIGHT, LATER])).await?;
    let target = "SELECT wanted FROM platform.fleet_target";
    let before = db.value(target).await?;
    let refused = withdraw(&owner, &Sets::core(), "core", NAME).await;
    let later = format!("core/{}", LATER.name());
    assert!(
        matches!(&refused, Err(DbError::Unbuildable { migration, .. }) if *migration == later),
        "{refused:?}"
    );
    assert_eq!(db.value(target).await?, before);
    Ok(())
}

/// What a batch would do that has claimed the one tenant and is still to run the migration.
const BATCH: &str = "BEGIN; SELECT FROM platform.tenant_schema_versions FOR UPDATE;
    SELECT FROM platform.fleet_migrations WHERE starts_with(name, '2999') FOR SHARE";

/// Waits until a statement of this database waits for a row that another one has.
async fn until_a_row_is_waited_for(db: &TestDb) -> Result<()> {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND usename = 'bulkhead_provisioner'";
    while db.value(waiting).await? == "0" {
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_text_is_not_put_right_under_a_batch_that_runs_it() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    migrate(&owner, &release_with(&[WRONG])).await?;
    let batch = db.session(Login::Admin).await?;
    batch.batch_execute(BATCH).await?;
    let right = release_with(&[RIGHT]);
    let end = async {
        until_a_row_is_waited_for(&db).await?;
        let has = format!(
            "UPDATE platform.tenant_schema_versions SET applied = wanted FROM platform.fleet_target WHERE tenant_id = '{}'; COMMIT",
            tenant.id.uuid()
        );
        anyhow::Ok(batch.batch_execute(&has).await?)
    };
    let (refused, ended) = tokio::join!(migrate(&owner, &right), end);
    ended?;
    assert!(matches!(refused, Err(DbError::MigrationChanged { .. })), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_run_does_not_follow_a_text_that_another_run_has_put_right() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let before = catalog(&db, &[&tenant.schema()]).await?;
    let other = db.session(Login::Admin).await?;
    other.batch_execute("BEGIN; SELECT FROM platform.tenant_schema_versions FOR UPDATE").await?;
    let sets = release_with(&[RIGHT]);
    let change = async {
        let registered = format!("SELECT count(*) FROM platform.fleet_migrations WHERE name = '{NAME}'");
        while db.value(&registered).await? == "0" {
            tokio::task::yield_now().await;
        }
        // The run has read the text as soon as it has entered it.
        db.sql(&format!("UPDATE platform.fleet_migrations SET up = 'SELECT 1' WHERE name = '{NAME}'"))
            .await?;
        anyhow::Ok(other.batch_execute("COMMIT").await?)
    };
    let (outrun, changed) = tokio::join!(migrate(&owner, &sets), change);
    changed?;
    assert!(matches!(outrun, Err(DbError::Outrun)), "{outrun:?}");
    assert_eq!(catalog(&db, &[&tenant.schema()]).await?, before);
    let marked = "SELECT count(*) FROM platform.tenant_schema_versions WHERE error IS NOT NULL";
    assert_eq!(db.value(marked).await?, "0", "that is no fault of the tenant's");
    Ok(())
}

async fn before_the_ledger(owner: &Owner) -> Result<()> {
    while revert_platform_once(owner).await? != "20261128000004" {}
    Ok(())
}

#[tokio::test]
async fn what_was_recorded_before_the_ledger_is_compared_too() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    db.create_tenant_with(&release_with(&[RIGHT]), "acme", PlanName::FREE).await?;
    before_the_ledger(&owner).await?;
    let changed = release_with(&[WRONG]);
    let refused = plan(&owner, &changed).await;
    assert!(matches!(refused, Err(DbError::MigrationChanged { .. })), "{refused:?}");
    migrate_platform(&owner, &MigrateOptions::default(), &|_| {}).await?;
    let refused = migrate(&owner, &changed).await;
    assert!(matches!(refused, Err(DbError::MigrationChanged { .. })), "{refused:?}");
    assert_eq!(db.value("SELECT count(*) FROM platform.fleet_target").await?, "0");
    // How its lines end makes no other text.
    db.sql("UPDATE platform.tenant_migrations SET up = replace(up, E'\\n', E'\\r\\n')").await?;
    assert_eq!(migrate(&owner, &release_with(&[RIGHT])).await?.already, 1);
    db.sql("UPDATE platform.fleet_migrations SET up = replace(up, E'\\n', E'\\r\\n')").await?;
    assert_eq!(migrate(&owner, &release_with(&[RIGHT])).await?.already, 1);
    assert!(plan(&owner, &release_with(&[RIGHT])).await?.is_empty());
    Ok(())
}

/// A database that was migrated to the platform's newest, and then the run was killed.
#[tokio::test]
async fn a_run_that_ended_before_the_ledger_was_written_is_not_taken_for_done() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    db.create_tenant("acme", PlanName::FREE).await?;
    before_the_ledger(&owner).await?;
    migrate_platform(&owner, &MigrateOptions::default(), &|_| {}).await?;
    let seen = plan(&owner, &Sets::core()).await?;
    assert!(seen.pending.is_empty() && !seen.is_empty(), "{seen:?}");
    Ok(())
}

/// A program of before the ledger has built a tenant since, or a pool's schema.
#[tokio::test]
async fn what_an_older_program_records_beside_the_ledger_is_taken_over_by_the_next_run() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    db.create_tenant("acme", PlanName::FREE).await?;
    ahead(&owner).await?;
    let before = db.sql("SELECT applied, version FROM platform.tenant_schema_versions").await?;
    db.sql(
        "INSERT INTO platform.tenant_migrations SELECT version::text, name, format, up FROM platform.fleet_migrations;
         UPDATE platform.tenant_schema_versions SET applied = '{}',
             version = (SELECT max(version)::text FROM platform.fleet_migrations);
         UPDATE platform.schema_pool SET applied = '{}',
             version = (SELECT max(version)::text FROM platform.fleet_migrations)",
    )
    .await?;
    let report = migrate(&owner, &Sets::core()).await?;
    assert_eq!((report.migrated, report.already), (0, 1));
    assert_eq!(db.sql("SELECT applied, version FROM platform.tenant_schema_versions").await?, before);
    assert_eq!(ready(&owner).await?, 1);
    Ok(())
}

#[tokio::test]
async fn two_sets_never_stand_in_one_place() -> Result<()> {
    const OTHER: MigrationSet =
        MigrationSet::new("alpha", &[Migration::new("2026-01-01-000000_a", "CREATE TABLE alphas (id int)")]);
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    migrate(&owner, &probe::sets()?).await?;
    migrate(&owner, &Sets::new([CORE, OTHER])?).await?;
    let order = "SELECT string_agg(DISTINCT place || ' ' || set_name, ', ') FROM platform.fleet_migrations";
    assert_eq!(db.value(order).await?, "0 core, 1 alpha, 2 probe");
    Ok(())
}

#[tokio::test]
async fn a_look_at_a_database_that_lacks_tables_says_so_in_one_line() -> Result<()> {
    for steps in [0, 1] {
        let db = TestDb::unmigrated().await?;
        let owner = db.owner()?;
        for _ in 0..steps {
            migrate_platform(&owner, &MigrateOptions::default(), &|_| {}).await?;
            while revert_platform_once(&owner).await? != "20261128000004" {}
        }
        let seen = unwell(&db, &Sets::core()).await?;
        let [seen] = &seen[..] else { anyhow::bail!("{seen:?}") };
        assert!(seen.starts_with("migrations: the platform lacks 2026-11-2"), "{seen}");
        assert!(seen.contains("run `migrate`"), "{seen}");
    }
    Ok(())
}

#[tokio::test]
async fn a_set_is_forgotten_also_while_a_tenant_is_being_built() -> Result<()> {
    let db = TestDb::new().await?;
    migrate(&db.owner()?, &probe::sets()?).await?;
    let builder = db.session(Login::Admin).await?;
    builder.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock_shared({FLEET_LOCK})")).await?;
    let pool = Pool::new(db.connector(Login::Provisioner)?, TestDb::pool_options(1));
    let owner = Owner::new(pool, Timeouts { lock_ms: 300, ..timeouts() });
    let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
    let end = async {
        // It has waited, has given up, and waits again.
        for there in ["1", "0", "1"] {
            while db.value(waiting).await? != there {
                tokio::task::yield_now().await;
            }
        }
        anyhow::Ok(builder.batch_execute("COMMIT").await?)
    };
    let (forgotten, ended) = tokio::join!(forget(&owner, "probe"), end);
    ended.context("the builder")?;
    assert!(forgotten?);
    Ok(())
}
