//! Which migrations tenants are built with and have, when programs of several releases and with several sets are there.

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use anyhow::{Context as _, Result};
use bulkhead_db::{
    Authority, DbError, Owner,
    fleet::{
        inspect::{Level, inspect},
        migrate::{
            CORE, MigrateOptions, Migration, MigrationReport, MigrationSet, Pending, Plan, Sets, Status,
            finish, forget, migrate_platform, migrate_tenants, plan, revert_platform_once, status,
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

use crate::{
    probe::{COLOURS, SET, THINGS, sets},
    support::{catalog, core_with, release_with},
};

/// A later release's migrations.
const NOTES: Migration = Migration::new(
    "2999-01-02-000000_notes",
    "CREATE TABLE notes (id int PRIMARY KEY); GRANT SELECT ON notes TO :\"tenant\" -- no semicolon",
);
const LABELS: Migration =
    Migration::new("2999-01-02-000001_labels", "ALTER TABLE notes ADD COLUMN label text");
/// One that comes later still, and is dated a day before them.
const EARLY: Migration = Migration::new(
    "2999-01-01-000000_early",
    "CREATE TABLE early (id int PRIMARY KEY); GRANT SELECT ON early TO :\"tenant\"",
);

/// The lock that a migration takes alone and a process that builds a tenant shares.
const FLEET_LOCK: i64 = 0x6275_6c6b_666c_6565;

fn newer() -> Sets {
    release_with(&[NOTES, LABELS])
}

async fn migrate(owner: &Owner, sets: &Sets) -> Result<MigrationReport, DbError> {
    migrate_tenants(owner, sets, &MigrateOptions::default(), &|_| {}).await
}

async fn provision(owner: &Owner, id: TenantId) -> Result<Provisioned, DbError> {
    let at = SystemClock.now();
    owner.write(async |tx| provision_tenant(tx, id, JobId::mint(at), at).await).await
}

async fn ahead(owner: &Owner) -> Result<TenantId, DbError> {
    let at = SystemClock.now();
    let id = TenantId::mint(at);
    owner.write(async |tx| build_ahead(tx, id, at).await).await?;
    Ok(id)
}

async fn ready(owner: &Owner) -> Result<usize, DbError> {
    owner.write(async |tx| count_ready(tx).await).await
}

/// What a tenant has, as set and name, in the order in which it would get them.
async fn has(db: &TestDb, id: TenantId) -> Result<String> {
    let sql = format!(
        "SELECT string_agg(set_name || '/' || substr(name, 19), ' ' ORDER BY place, m.version)
         FROM platform.tenant_schema_versions JOIN platform.fleet_migrations m ON applied @> id WHERE tenant_id = '{}'",
        id.uuid()
    );
    db.value(&sql).await
}

/// The same of what tenants are built with.
async fn target(db: &TestDb) -> Result<String> {
    db.value(
        "SELECT string_agg(set_name || '/' || substr(name, 19), ' ' ORDER BY place, version)
         FROM platform.fleet_target JOIN platform.fleet_migrations ON wanted @> id",
    )
    .await
}

/// The core's alone, in the words of [`has`].
static PRODUCT: LazyLock<String> = LazyLock::new(|| {
    let names = CORE.tenant().iter().filter_map(|migration| migration.name().split_once('_'));
    names.map(|(_date, topic)| format!("core/{topic}")).collect::<Vec<_>>().join(" ")
});

/// The core's newest, as programs of before the ledger have recorded it.
static NEWEST: LazyLock<String> = LazyLock::new(|| {
    CORE.tenant().last().map_or_else(String::new, |migration| migration.version().to_string())
});

/// What a look finds that is not well, as a program with these sets.
async fn unwell(db: &TestDb, sets: &Sets) -> Result<Vec<String>> {
    let found = inspect(&db.owner()?, sets).await?;
    let found = found.into_iter().filter(|finding| finding.level != Level::Ok && finding.check != "server");
    Ok(found.map(|finding| format!("{}: {}", finding.check, finding.detail)).collect())
}

/// The way back of the platform's newest migrations, up to and with the ledger: what a program of before it has left.
async fn before_the_ledger(owner: &Owner) -> Result<()> {
    while revert_platform_once(owner).await? != "20261128000004" {}
    Ok(())
}

/// The fault that the ledger is there for: two developers, and the second one's migration is dated first.
#[tokio::test]
async fn a_migration_that_is_dated_before_a_deployed_one_is_applied_everywhere() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let (deployed, next) = (release_with(&[NOTES]), release_with(&[EARLY, NOTES]));
    let old = db.create_tenant_with(&deployed, "old", PlanName::FREE).await?;
    let pooled = ahead(&owner).await?;
    assert_eq!(has(&db, old.id).await?, format!("{} core/notes", *PRODUCT));

    // It is seen before it is done.
    let seen = unwell(&db, &next).await?;
    let [seen] = &seen[..] else { anyhow::bail!("{seen:?}") };
    assert!(seen.contains("without core/2999-01-01-000000_early: run `migrate`"), "{seen}");
    let pending = Pending { set: "core".to_owned(), name: "2999-01-01-000000_early".to_owned(), tenants: 1 };
    let expected = Plan { pending: vec![pending], tenants: 1, ..Plan::default() };
    assert_eq!(plan(&owner, &next).await?, expected);

    let report = migrate(&owner, &next).await?;
    assert_eq!((report.migrated, report.failed.len()), (1, 0));
    assert_eq!(has(&db, old.id).await?, format!("{} core/early core/notes", *PRODUCT));
    assert_eq!(ready(&owner).await?, 0, "what was built ahead has a hole");
    let moved = db.sign_up("moved", PlanName::FREE).await?;
    assert_eq!(moved.id, pooled);
    let fresh = db.sign_up("fresh", PlanName::FREE).await?;
    for tenant in [&moved, &fresh] {
        assert_eq!(provision(&owner, tenant.id).await?, Provisioned::Built);
    }
    let upgraded = catalog(&db, &[&old.schema()]).await?;
    assert!(upgraded.contains("relation §0.early grants SELECT to §0"), "{upgraded}");
    assert_eq!(catalog(&db, &[&moved.schema()]).await?, upgraded);
    assert_eq!(catalog(&db, &[&fresh.schema()]).await?, upgraded);
    assert_eq!(unwell(&db, &next).await?, Vec::<String>::new());
    assert_eq!(plan(&owner, &next).await?, Plan { idle: vec!["core"], up_to_date: 3, ..Plan::default() });
    Ok(())
}

/// An extension's set beside the core's, in tenants of before it and after it, and then a core's migration between its own.
#[tokio::test]
async fn two_sets_live_in_one_tenant_whatever_their_dates() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let old = db.create_tenant("old", PlanName::FREE).await?;
    let sets = sets()?;
    assert_eq!(migrate(&owner, &sets).await?.migrated, 1);
    let with_both = format!("{} probe/things probe/colours", *PRODUCT);
    assert_eq!((has(&db, old.id).await?, target(&db).await?), (with_both.clone(), with_both));
    let middle = db.create_tenant_with(&sets, "middle", PlanName::FREE).await?;

    let next = Sets::new([core_with(&[NOTES]), SET])?;
    let (name, set) = ("2999-01-02-000000_notes".to_owned(), "core".to_owned());
    let expected = Plan {
        pending: vec![Pending { set, name, tenants: 2 }],
        idle: vec!["probe"],
        tenants: 2,
        ..Plan::default()
    };
    assert_eq!(plan(&owner, &next).await?, expected);
    assert_eq!(migrate(&owner, &next).await?.migrated, 2);
    let fresh = db.create_tenant_with(&next, "fresh", PlanName::FREE).await?;
    assert_eq!(has(&db, fresh.id).await?, format!("{} core/notes probe/things probe/colours", *PRODUCT));
    let expected = catalog(&db, &[&fresh.schema()]).await?;
    assert!(expected.contains("column §0.things.colour"), "{expected}");
    for tenant in [old, middle] {
        assert_eq!(catalog(&db, &[&tenant.schema()]).await?, expected);
        assert_eq!(has(&db, tenant.id).await?, has(&db, fresh.id).await?);
    }
    assert_eq!(unwell(&db, &next).await?, Vec::<String>::new());
    Ok(())
}

/// All that a tenant lacks is one transaction: it has both sets as before, or both as they are to be.
#[tokio::test]
async fn a_tenant_gets_all_sets_or_none() -> Result<()> {
    let db = TestDb::new().await?;
    let (bad, good) =
        (db.create_tenant("bad", PlanName::FREE).await?, db.create_tenant("good", PlanName::FREE).await?);
    db.sql(&format!("CREATE TABLE {}.things (in_the_way int)", bad.schema())).await?;
    let before = catalog(&db, &[&bad.schema()]).await?;
    let sets = Sets::new([core_with(&[NOTES]), SET])?;
    let report = migrate(&db.owner()?, &sets).await?;
    let [(failed, error)] = &report.failed[..] else { anyhow::bail!("{:?}", report.failed) };
    assert_eq!(*failed, bad.id);
    assert!(error.starts_with("probe/2000-01-01-000000_things: "), "{error}");
    assert_eq!(catalog(&db, &[&bad.schema()]).await?, before, "nothing of the core's either");
    assert_eq!(has(&db, bad.id).await?, *PRODUCT);
    assert_eq!(has(&db, good.id).await?, format!("{} core/notes probe/things probe/colours", *PRODUCT));
    let seen = unwell(&db, &sets).await?;
    let lacks = "tenant migrations: bad lacks core/2999-01-02-000000_notes, probe/2000-01-01-000000_things, \
                 probe/2999-12-31-000000_colours";
    assert!(seen.contains(&lacks.to_owned()), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn a_migration_that_was_changed_after_it_was_applied_is_refused_by_name() -> Result<()> {
    const CHANGED: Migration = Migration::new(THINGS.name(), "CREATE TABLE things (id int)");
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let tenant = db.create_tenant_with(&sets()?, "acme", PlanName::FREE).await?;
    let (before, built) = (catalog(&db, &[&tenant.schema()]).await?, target(&db).await?);
    // The same release has one that is all right; it waits, too.
    let changed = Sets::new([core_with(&[NOTES]), MigrationSet::new("probe", &[CHANGED, COLOURS])])?;
    let file = "probe/2000-01-01-000000_things/up.sql was changed after it was applied";
    for refused in [migrate(&owner, &changed).await.map(drop), plan(&owner, &changed).await.map(drop)] {
        assert!(matches!(&refused, Err(DbError::MigrationChanged { .. })), "{refused:?}");
        let told = refused.map_err(|error| error.to_string()).err().context("refused")?;
        assert!(told.contains(file), "{told}");
    }
    assert_eq!(catalog(&db, &[&tenant.schema()]).await?, before);
    assert_eq!(target(&db).await?, built);
    let seen = unwell(&db, &changed).await?;
    assert!(seen.iter().any(|finding| finding.contains(file)), "{seen:?}");
    Ok(())
}

/// Tenants keep its tables, and new ones get them, too: all are alike.
#[tokio::test]
async fn a_set_that_a_program_no_longer_has_is_built_and_told() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let old = db.create_tenant_with(&sets()?, "old", PlanName::FREE).await?;
    let without = release_with(&[NOTES]);
    assert_eq!(migrate(&owner, &without).await?.migrated, 1);
    let fresh = db.sign_up("fresh", PlanName::FREE).await?;
    assert_eq!(provision(&owner, fresh.id).await?, Provisioned::Built);
    let built = catalog(&db, &[&fresh.schema()]).await?;
    assert!(built.contains("column §0.things.colour"), "{built}");
    assert_eq!(catalog(&db, &[&old.schema()]).await?, built);
    let seen = unwell(&db, &without).await?;
    let [seen] = &seen[..] else { anyhow::bail!("{seen:?}") };
    assert!(seen.starts_with("removed sets: the set probe is not part of this program"), "{seen}");

    // It is given up: tenants that have it keep it.
    let pooled = ahead(&owner).await?;
    assert!(forget(&owner, "probe").await?);
    assert!(!forget(&owner, "probe").await?, "there is nothing left to forget");
    assert!(!forget(&owner, "unknown").await?);
    assert_eq!(migrate(&owner, &without).await?.already, 2);
    let next = db.sign_up("next", PlanName::FREE).await?;
    assert_eq!(next.id, pooled);
    assert_eq!(provision(&owner, next.id).await?, Provisioned::Built);
    assert_eq!(has(&db, next.id).await?, format!("{} core/notes", *PRODUCT));
    assert_eq!(has(&db, old.id).await?, format!("{} core/notes probe/things probe/colours", *PRODUCT));
    assert_eq!(unwell(&db, &without).await?, Vec::<String>::new());
    // And is there again.
    let again = Sets::new([core_with(&[NOTES]), SET])?;
    assert_eq!(migrate(&owner, &again).await?.migrated, 1);
    assert_eq!(catalog(&db, &[&next.schema()]).await?, catalog(&db, &[&old.schema()]).await?);
    Ok(())
}

/// What a program asks before it serves.
#[tokio::test]
async fn a_program_sees_whether_the_database_was_migrated_for_it() -> Result<()> {
    let db = TestDb::unmigrated().await?;
    let (owner, pools) = (db.owner()?, db.db()?);
    let seen = async |sets: Sets| {
        let ask = async |tx: &mut _| status(tx, &sets).await;
        pools.platform_read::<_, DbError>(Authority::machinery(), ask).await
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let core: Vec<String> = CORE.tenant().iter().map(|one| format!("core/{}", one.name())).collect();
    let all_missing = Status { missing: core, foreign: vec![], unfinished: true };
    assert_eq!(seen(Sets::core()).await?, all_missing, "there is no table yet");
    migrate_platform(&owner, &MigrateOptions::default(), &|_| {}).await?;
    assert_eq!(seen(Sets::core()).await?, all_missing, "there is no row yet");
    migrate(&owner, &Sets::core()).await?;
    let unfinished = Status { unfinished: true, ..Status::default() };
    assert_eq!(seen(Sets::core()).await?, unfinished, "what is done after the tenants may be lacking");
    finish(&owner, &Sets::core()).await?;
    assert_eq!(seen(Sets::core()).await?, Status::default());
    let missing = names(&["probe/2000-01-01-000000_things", "probe/2999-12-31-000000_colours"]);
    assert_eq!(seen(sets()?).await?, Status { missing: missing.clone(), foreign: vec![], unfinished: true });
    migrate(&owner, &sets()?).await?;
    assert_eq!(seen(Sets::core()).await?, Status { missing: vec![], foreign: missing, unfinished: false });
    Ok(())
}

/// A database of the release before the ledger: what its tenants and its pool have is read once, and a migration that was
/// slipped in below is found to be missing.
#[tokio::test]
async fn what_a_program_of_before_the_ledger_has_recorded_is_taken_over() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let old = db.create_tenant_with(&release_with(&[NOTES]), "old", PlanName::FREE).await?;
    let behind = db.create_tenant_with(&release_with(&[NOTES]), "behind", PlanName::FREE).await?;
    ahead(&owner).await?;
    before_the_ledger(&owner).await?;
    let versions = "SELECT string_agg(version, ' ') FROM (SELECT version FROM platform.tenant_schema_versions
        UNION ALL SELECT version FROM platform.schema_pool UNION ALL SELECT version FROM platform.tenant_schema_target) v";
    assert_eq!(db.value(versions).await?, ["29990102000000"; 4].join(" "));
    // As if its migration had failed: it is at the version before.
    db.sql(&format!(
        "DROP TABLE {}.notes; UPDATE platform.tenant_schema_versions SET version = '{}' WHERE tenant_id = '{}'",
        behind.schema(),
        *NEWEST,
        behind.id.uuid()
    ))
    .await?;

    let pending = |name: &str, tenants| Pending { set: "core".to_owned(), name: name.to_owned(), tenants };
    let next = release_with(&[EARLY, NOTES]);
    let seen = plan(&owner, &next).await?;
    assert!(seen.platform.contains(&"2026-11-28-000004_migration_sets"), "{seen:?}");
    assert_eq!(seen.pending, [pending(EARLY.name(), 2), pending(NOTES.name(), 1)]);
    assert_eq!(seen.tenants, 2);
    migrate_platform(&owner, &MigrateOptions::default(), &|_| {}).await?;
    assert_eq!(plan(&owner, &next).await?.pending, seen.pending, "it is the same before anything is read");

    // The release that the database is of, with the ledger: there is nothing to do but for the one that is behind.
    let report = migrate(&owner, &release_with(&[NOTES])).await?;
    assert_eq!((report.migrated, report.already, report.failed.len()), (1, 1, 0));
    assert_eq!(ready(&owner).await?, 1, "what was built ahead is as good as it was");
    assert_eq!(migrate(&owner, &next).await?.migrated, 2);
    for tenant in [&old, &behind] {
        assert_eq!(has(&db, tenant.id).await?, format!("{} core/early core/notes", *PRODUCT));
    }
    assert_eq!(catalog(&db, &[&old.schema()]).await?, catalog(&db, &[&behind.schema()]).await?);
    Ok(())
}

/// A worker of the release before, in the middle of its transaction while the first run with the ledger begins.
#[tokio::test]
async fn a_tenant_that_a_program_of_before_the_ledger_is_building_is_taken_over() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    before_the_ledger(&owner).await?;
    migrate_platform(&owner, &MigrateOptions::default(), &|_| {}).await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let builder = db.session(Login::Admin).await?;
    let record = "(tenant_id, version, migrated_at) VALUES";
    let values = format!("'{}', '{}', now()", tenant.id.uuid(), *NEWEST);
    build_by_hand(&builder, &tenant.schema(), &format!("{record} ({values})")).await?;
    let sets = newer();
    let waiting = until_it_waits(&db, migrate(&owner, &sets), async {
        builder.batch_execute("COMMIT").await?;
        anyhow::Ok(())
    });
    let report = Box::pin(waiting).await??;
    assert_eq!(report.migrated, 1);
    assert_eq!(has(&db, tenant.id).await?, format!("{} core/notes core/labels", *PRODUCT));
    Ok(())
}

/// The statements of the release before, in a database of this one: its worker leaves the building to a newer one, its pool
/// stays, its `migrate` finds nothing to do and its doctor nothing to complain of.
#[tokio::test]
async fn a_program_of_before_the_ledger_does_nothing_by_halves() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    db.create_tenant_with(&sets()?, "acme", PlanName::FREE).await?;
    ahead(&owner).await?;
    let newest = "20261121000001";
    let target = db.value("SELECT version FROM platform.tenant_schema_target").await?;
    assert!(target.as_str() > newest, "it would raise it: {target}");
    let formats = format!(
        "SELECT bool_and(format = 1) FROM (SELECT format, up FROM platform.tenant_migrations
         WHERE version <= '{target}' ORDER BY version COLLATE \"C\") AS stored"
    );
    assert_eq!(db.value(&formats).await?, "f", "it would build with what it finds");
    for (sql, expected) in [
        // What its migrate would claim, and what its doctor would find behind.
        (format!("SELECT count(*) FROM platform.tenant_schema_versions WHERE version < '{newest}'"), "0"),
        (format!("SELECT count(*) FROM platform.tenant_schema_versions WHERE version < '{target}'"), "0"),
        // What of the pool is ready for it, and what it would drop.
        ("SELECT count(*) FROM platform.schema_pool p JOIN platform.tenant_schema_target t ON t.version = p.version \
          WHERE p.taken_at IS NULL".to_owned(), "1"),
        ("SELECT count(*) FROM platform.schema_pool p, platform.tenant_schema_target t WHERE p.version <> t.version".to_owned(), "0"),
    ] {
        assert_eq!(db.value(&sql).await?, expected, "{sql}");
    }
    Ok(())
}

/// The ledger's own way back would forget what the release before cannot know.
#[tokio::test]
async fn the_ledger_stays_while_tenants_have_what_only_it_knows() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let tenant = db.create_tenant_with(&release_with(&[NOTES]), "acme", PlanName::FREE).await?;
    let hole = format!(
        "UPDATE platform.tenant_schema_versions SET applied = applied - int4multirange(int4range(1, 2)) WHERE tenant_id = '{}'",
        tenant.id.uuid()
    );
    db.sql(&hole).await?;
    let refused = before_the_ledger(&owner).await.err().context("it has a hole")?.to_string();
    assert!(refused.contains("run bulkhead migrate first"), "{refused}");
    db.sql("UPDATE platform.tenant_schema_versions SET applied = wanted FROM platform.fleet_target").await?;
    migrate(&owner, &sets()?).await?;
    let refused = before_the_ledger(&owner).await.err().context("it has an extension's")?.to_string();
    assert!(refused.contains("migrations of extensions"), "{refused}");
    Ok(())
}

/// Begins, as the administrator, a transaction that builds a tenant with the product's migrations and records it so.
async fn build_by_hand(builder: &tokio_postgres::Client, schema: &str, record: &str) -> Result<()> {
    let up: String = CORE.tenant().iter().map(|step| step.up().replace(":\"tenant\"", schema)).collect();
    builder
        .batch_execute(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock_shared({FLEET_LOCK}); \
             INSERT INTO platform.tenant_schema_versions {record}; \
             UPDATE platform.tenants SET status = 'active'; CREATE ROLE {schema}; GRANT {schema} TO bulkhead_tenant; \
             CREATE SCHEMA {schema} AUTHORIZATION bulkhead_owner; SET search_path = {schema}; SET ROLE bulkhead_owner; {up}; RESET ROLE"
        ))
        .await?;
    Ok(())
}

/// What comes of the first; the second is done as soon as the first waits for a lock of the fleet.
async fn until_it_waits<A>(
    db: &TestDb,
    first: impl Future<Output = A>,
    then: impl Future<Output = Result<()>>,
) -> Result<A> {
    let second = async {
        let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
        while db.value(waiting).await? == "0" {
            tokio::task::yield_now().await;
        }
        then.await
    };
    let (first, second) = timeout(Duration::from_secs(60), async { tokio::join!(first, second) }).await?;
    second?;
    Ok(first)
}

/// A release was rolled back: its migrations stay, its program is gone. Before there is any tenant, so nothing but the ledger
/// can tell.
#[tokio::test]
async fn an_older_program_builds_the_first_tenant_as_the_newer_one_would() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let report = migrate(&owner, &newer()).await?;
    assert_eq!((report.migrated, report.already), (0, 0), "there is no tenant yet");
    let wanted = format!("{} core/notes core/labels", *PRODUCT);
    assert_eq!(target(&db).await?, wanted);
    // The older release is deployed again, and migrates as every deployment does.
    migrate(&owner, &Sets::core()).await?;

    let first = db.sign_up("first", PlanName::FREE).await?;
    assert_eq!(provision(&owner, first.id).await?, Provisioned::Built);
    assert_eq!(has(&db, first.id).await?, wanted);
    let built = catalog(&db, &[&first.schema()]).await?;
    assert!(built.contains("relation §0.notes grants SELECT to §0"), "{built}");
    assert!(built.contains("column §0.notes.label"), "{built}");
    let upgraded = TestDb::new().await?;
    let tenant = upgraded.create_tenant("upgraded", PlanName::FREE).await?;
    migrate(&upgraded.owner()?, &newer()).await?;
    assert_eq!(catalog(&upgraded, &[&tenant.schema()]).await?, built);
    Ok(())
}

#[tokio::test]
async fn the_pool_is_kept_with_what_tenants_are_built_with() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let behind = ahead(&owner).await?;
    migrate(&owner, &newer()).await?;
    assert_eq!(ready(&owner).await?, 0, "what was built before is behind");
    let built = ahead(&owner).await?;
    assert_eq!(ready(&owner).await?, 1);
    assert!(owner.write::<_, DbError>(async |tx| drop_surplus(tx, 8).await).await?, "what is behind goes");
    assert!(!owner.write::<_, DbError>(async |tx| drop_surplus(tx, 8).await).await?, "what is not stays");

    let schema = db.value("SELECT min(role_name) FROM platform.schema_pool").await?;
    let number = format!("SELECT '{schema}'::regnamespace::oid");
    let before = db.value(&number).await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    assert_eq!((tenant.id, tenant.schema()), (built, schema));
    assert_ne!(tenant.id, behind);
    assert_eq!(provision(&owner, tenant.id).await?, Provisioned::Built);
    assert_eq!(db.value(&number).await?, before, "it moves in, and nothing is built again");
    assert_eq!(has(&db, tenant.id).await?, format!("{} core/notes core/labels", *PRODUCT));
    Ok(())
}

/// A worker builds while the newer release migrates, and there is no other tenant.
#[tokio::test]
async fn a_migration_waits_for_a_tenant_that_is_being_built_and_migrates_it() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let builder = db.session(Login::Admin).await?;
    let record = format!(
        "(tenant_id, version, applied, migrated_at) SELECT '{}', '99990101000000', wanted, now() FROM platform.fleet_target",
        tenant.id.uuid()
    );
    build_by_hand(&builder, &tenant.schema(), &record).await?;
    let sets = newer();
    let waiting = until_it_waits(&db, migrate(&owner, &sets), async {
        assert_eq!(target(&db).await?, *PRODUCT, "not before the builder has finished");
        builder.batch_execute("COMMIT").await?;
        anyhow::Ok(())
    });
    let report = Box::pin(waiting).await??;
    assert_eq!(report.migrated, 1);
    assert_eq!(has(&db, tenant.id).await?, format!("{} core/notes core/labels", *PRODUCT));
    Ok(())
}

#[tokio::test]
async fn what_tenants_are_built_with_never_becomes_less() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let set_at = "SELECT set_at FROM platform.fleet_target";
    let before = db.value(set_at).await?;
    migrate(&owner, &newer()).await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    provision(&owner, tenant.id).await?;
    // The older release is deployed again, and migrates as every deployment does.
    let report = migrate(&owner, &Sets::core()).await?;
    assert_eq!((report.migrated, report.already), (0, 1));
    assert_eq!(target(&db).await?, format!("{} core/notes core/labels", *PRODUCT));
    assert_ne!(db.value(set_at).await?, before);
    // A program with nothing new finds nothing to do, and waits for no process that builds.
    let builder = db.session(Login::Admin).await?;
    builder.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock_shared({FLEET_LOCK})")).await?;
    let report = timeout(Duration::from_secs(30), migrate(&owner, &newer())).await??;
    assert_eq!(report.already, 1);
    Ok(())
}

/// A process that builds a tenant has the fleet's lock for longer than a statement may wait for one.
#[tokio::test]
async fn a_run_asks_again_for_the_fleets_lock() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let builder = db.session(Login::Admin).await?;
    builder.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock_shared({FLEET_LOCK})")).await?;
    let options = MigrateOptions { lock_ms: 100, ..MigrateOptions::default() };
    let newer = newer();
    let run = async { Ok::<_, anyhow::Error>(migrate_tenants(&owner, &newer, &options, &|_| {}).await?) };
    let two_tries = async {
        let waiting = "SELECT coalesce(min(virtualtransaction), '') FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
        let mut tries = BTreeSet::new();
        while tries.len() < 2 {
            tries.extend(Some(db.value(waiting).await?).filter(|seen| !seen.is_empty()));
        }
        Ok(builder.batch_execute("COMMIT").await?)
    };
    let (report, ()) = timeout(Duration::from_secs(60), async { tokio::try_join!(run, two_tries) }).await??;
    assert!(report.failed.is_empty());
    assert_eq!(target(&db).await?, format!("{} core/notes core/labels", *PRODUCT));
    Ok(())
}

/// A release whose migration no schema can take must not stop sign-ups, neither before nor after it is rolled back.
#[tokio::test]
async fn a_set_that_builds_no_empty_schema_changes_nothing() -> Result<()> {
    const WRONG: Migration = Migration::new("2999-01-03-000000_wrong", "ALTER TABLE nowhere ADD x int");
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let roles = "SELECT count(*) FROM pg_roles r WHERE rolname ~ '^t_' AND NOT EXISTS (
        SELECT FROM pg_namespace WHERE nspname = rolname)";
    let refused = migrate(&owner, &release_with(&[NOTES, LABELS, WRONG])).await;
    assert!(
        matches!(&refused, Err(DbError::Unbuildable { migration, why })
            if migration == "core/2999-01-03-000000_wrong" && why.contains("\"nowhere\"")),
        "{refused:?}"
    );
    assert_eq!(target(&db).await?, *PRODUCT);
    let entered = "SELECT count(*) FROM platform.fleet_migrations WHERE starts_with(name, '2999')";
    assert_eq!(db.value(entered).await?, "0");
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    assert_eq!(provision(&owner, tenant.id).await?, Provisioned::Built);
    let here = db.value("SELECT count(*) FROM pg_namespace WHERE nspname ~ '^t_'").await?;
    assert_eq!(here, "1", "what was tried out is gone: {}", db.value(roles).await?);
    Ok(())
}

#[tokio::test]
async fn a_program_that_cannot_read_how_tenants_are_built_leaves_it_to_one_that_can() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let old = db.create_tenant("old", PlanName::FREE).await?;
    migrate(&owner, &newer()).await?;
    let moves_in = ahead(&owner).await?;
    let labels = "FROM platform.fleet_migrations WHERE name = '2999-01-02-000001_labels'";
    db.sql("UPDATE platform.fleet_migrations SET format = 2 WHERE name = '2999-01-02-000001_labels'").await?;
    assert!(matches!(ahead(&owner).await, Err(DbError::Outdated)));
    // What lies ready needs nothing read.
    let lucky = db.sign_up("lucky", PlanName::FREE).await?;
    assert_eq!(lucky.id, moves_in);
    assert_eq!(provision(&owner, lucky.id).await?, Provisioned::Built);
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let refused = provision(&owner, tenant.id).await;
    assert!(matches!(refused, Err(DbError::Outdated)), "{refused:?}");
    // There is nothing to migrate; then there is.
    let report = migrate(&owner, &Sets::core()).await?;
    assert_eq!((report.migrated, report.already), (0, 2));
    let lose = format!(
        "UPDATE platform.tenant_schema_versions SET applied = applied - (SELECT int4multirange(int4range(id, id + 1)) {labels}) \
         WHERE tenant_id = '{}'",
        old.id.uuid()
    );
    db.sql(&lose).await?;
    let refused = migrate(&owner, &Sets::core()).await;
    assert!(matches!(refused, Err(DbError::Outdated)), "{refused:?}");
    let failed = "SELECT count(*) FROM platform.tenant_schema_versions WHERE failed_at IS NOT NULL";
    assert_eq!(db.value(failed).await?, "0", "that is no fault of the tenant's");
    Ok(())
}

#[tokio::test]
async fn nothing_is_built_before_the_first_migration_has_come_to_its_end() -> Result<()> {
    let db = TestDb::unmigrated().await?;
    let owner = db.owner()?;
    migrate_platform(&owner, &MigrateOptions::default(), &|_| {}).await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let refused = provision(&owner, tenant.id).await;
    assert!(matches!(refused, Err(DbError::NotMigrated)), "{refused:?}");
    assert!(matches!(ahead(&owner).await, Err(DbError::NotMigrated)));
    migrate(&owner, &Sets::core()).await?;
    assert_eq!(provision(&owner, tenant.id).await?, Provisioned::Built);
    Ok(())
}

/// The SQL that programs run as the owner of everything.
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
            "UPDATE platform.fleet_migrations SET up = ''",
            "SELECT up FROM platform.fleet_migrations",
            "INSERT INTO platform.fleet_migrations VALUES (99, 'core', 0, 3, 'x', 1, '')",
            "DELETE FROM platform.fleet_migrations",
            "UPDATE platform.fleet_target SET wanted = '{}'",
            "DELETE FROM platform.fleet_target",
            "UPDATE platform.tenant_schema_versions SET applied = '{}'",
            "UPDATE platform.tenant_migrations SET up = ''",
            "DELETE FROM platform.tenant_schema_target",
        ] {
            let refused = session.batch_execute(sql).await.err().context(sql)?;
            let why = refused.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
            assert!(why.starts_with("permission denied"), "{role}: {sql}: {why}");
        }
    }
    Ok(())
}
