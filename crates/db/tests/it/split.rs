//! Databases of the time when the table `resources` was the core's.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use bulkhead_db::{
    DbError, Owner,
    fleet::{
        inspect::{Level, inspect},
        migrate::{
            CORE, MigrateOptions, Migration, MigrationReport, MigrationSet, Pending, Plan, RESOURCES, Sets,
            forget, migrate, migrate_platform, migrate_tenants, plan, revert_platform_once,
        },
        provision::{
            Provisioned, provision_tenant,
            schema_pool::{build_ahead, count_ready},
        },
    },
};
use bulkhead_domain::{Clock as _, JobId, PlanName, SystemClock, TenantId};
use bulkhead_fixtures::{TestDb, TestTenant};

use crate::{
    probe,
    support::{catalog, core_with},
};

/// The core's set of that time, to the letter.
const OLD: MigrationSet = MigrationSet::new(
    "core",
    &[
        Migration::new("2026-11-21-000001_foundation", include_str!("split/foundation.sql")),
        Migration::new("2026-11-28-000002_resource_bytes", include_str!("split/bytes.sql")),
        Migration::new("2026-11-28-000003_resource_text", include_str!("split/text.sql")),
    ],
);

/// The core's set of the release that took the table out of it.
const THEN: MigrationSet = MigrationSet::new(
    "core",
    match CORE.tenant().first_chunk::<1>() {
        Some(first) => first,
        None => panic!("the core has a migration"),
    },
);

const NAME: &str = "2026-11-21-000001_resources";

fn new() -> Result<Sets> {
    Ok(Sets::new([THEN, RESOURCES])?)
}

async fn run(owner: &Owner, sets: &Sets) -> Result<MigrationReport, DbError> {
    migrate(owner, sets, &MigrateOptions::default(), &|_| {}).await
}

/// Signs a tenant up and builds it as the database says.
async fn build(db: &TestDb, slug: &str) -> Result<TestTenant> {
    let (tenant, at) = (db.sign_up(slug, PlanName::FREE).await?, SystemClock.now());
    let work = async |tx: &mut _| provision_tenant(tx, tenant.id, JobId::mint(at), at).await;
    assert_eq!(db.owner()?.write(work).await?, Provisioned::Built);
    Ok(tenant)
}

async fn ahead(owner: &Owner) -> Result<()> {
    let at = SystemClock.now();
    Ok(owner.write(async |tx| build_ahead(tx, TenantId::mint(at), at).await).await?)
}

async fn ready(owner: &Owner) -> Result<usize, DbError> {
    owner.write(async |tx| count_ready(tx).await).await
}

/// A database of that time.
struct Old {
    db: TestDb,
    owner: Owner,
    /// A tenant with a row.
    whole: TestTenant,
    /// One that could only be given the first of the three migrations.
    behind: TestTenant,
}

impl Old {
    /// Besides the tenants it has a schema in its pool.
    async fn new(extension: Option<MigrationSet>) -> Result<Self> {
        let db = TestDb::unmigrated().await?;
        let owner = db.owner()?;
        migrate_platform(&owner, &MigrateOptions::default(), &|_| {}).await?;
        let migrated = async |core| {
            let sets = Sets::new([core].into_iter().chain(extension))?;
            migrate_tenants(&owner, &sets, &MigrateOptions::default(), &|_| {}).await
        };
        migrated(MigrationSet::new("core", OLD.tenant().first_chunk::<1>().context("the first")?)).await?;
        let behind = build(&db, "behind").await?;
        db.sql(&format!("ALTER TABLE {}.resources ADD COLUMN data_bytes int", behind.schema())).await?;
        assert_eq!(migrated(OLD).await?.failed.len(), 1);
        db.sql(&format!("ALTER TABLE {}.resources DROP COLUMN data_bytes", behind.schema())).await?;
        let whole = build(&db, "whole").await?;
        let row = "(id, name, kind, data, owner, created_at, updated_at) VALUES (gen_random_uuid(), 'n', 'k', '{\"a\": 1.0}', 'o', now(), now())";
        for tenant in [&whole, &behind] {
            db.sql(&format!("INSERT INTO {}.resources {row}", tenant.schema())).await?;
        }
        ahead(&owner).await?;
        assert_eq!(ready(&owner).await?, 1);
        Ok(Self { db, owner, whole, behind })
    }

    /// The same, as a program of before the ledger has left it.
    async fn before_the_ledger() -> Result<Self> {
        let old = Self::new(None).await?;
        while revert_platform_once(&old.owner).await? != "20261128000004" {}
        let versions = "SELECT string_agg(slug || ' ' || v.version, ', ' ORDER BY slug)
            FROM platform.tenant_schema_versions v JOIN platform.tenants ON id = tenant_id";
        assert_eq!(old.db.value(versions).await?, "behind 20261121000001, whole 20261128000003");
        Ok(old)
    }

    /// The schemas of all tenants are those of a fresh database, nothing waits for a person, and no row is gone.
    async fn is_as_fresh(&self, sets: &Sets) -> Result<()> {
        let moved = build(&self.db, "moved").await?;
        let late = build(&self.db, "late").await?;
        let fresh = TestDb::unmigrated().await?;
        run(&fresh.owner()?, sets).await?;
        let tenant = build(&fresh, "fresh").await?;
        let expected = catalog(&fresh, &[&tenant.schema()]).await?;
        assert!(expected.contains("column §0.resources.data_bytes"), "{expected}");
        for tenant in [&self.whole, &self.behind, &moved, &late] {
            assert_eq!(catalog(&self.db, &[&tenant.schema()]).await?, expected, "{}", tenant.slug);
        }
        for tenant in [&self.whole, &self.behind] {
            let data = format!("SELECT data || ' ' || data_bytes FROM {}.resources", tenant.schema());
            assert_eq!(self.db.value(&data).await?, "{\"a\": 1.0} 10");
        }
        let texts = "SELECT set_name, name, format, up FROM platform.fleet_migrations, platform.fleet_target WHERE wanted @> id ORDER BY 1, 2";
        assert_eq!(self.db.sql(texts).await?, fresh.sql(texts).await?);
        let all = "SELECT count(*) FROM platform.fleet_migrations";
        assert_eq!(self.db.value(all).await?, fresh.value(all).await?, "the old ones are gone");
        assert_eq!(unwell(&self.db, sets).await?, Vec::<String>::new());
        let idle = plan(&self.owner, sets).await?;
        assert_eq!(idle, Plan { idle: sets.names().collect(), up_to_date: 4, ..Plan::default() });
        assert_eq!(run(&self.owner, sets).await?.already, 4);
        // A program of that time that is still migrating finds no tenant that lacks one of the three.
        let old =
            "SELECT count(*) FROM platform.tenant_schema_versions JOIN platform.tenants ON id = tenant_id
            WHERE NOT applied @> '{[1,4)}' AND slug IN ('whole', 'behind')";
        assert_eq!(self.db.value(old).await?, "0");
        Ok(())
    }
}

async fn unwell(db: &TestDb, sets: &Sets) -> Result<Vec<String>> {
    let found = inspect(&db.owner()?, sets).await?;
    let found = found.into_iter().filter(|finding| finding.level != Level::Ok && finding.check != "server");
    Ok(found.map(|finding| format!("{}: {}", finding.check, finding.detail)).collect())
}

fn pending(tenants: usize) -> Vec<Pending> {
    vec![Pending { set: "resources".to_owned(), name: NAME.to_owned(), tenants }]
}

/// What the ledger says, all of it.
async fn ledger(db: &TestDb) -> Result<BTreeMap<&'static str, Vec<Vec<Option<String>>>>> {
    let mut found = BTreeMap::new();
    for table in ["fleet_migrations", "fleet_target", "tenant_schema_versions", "schema_pool"] {
        let columns = if table == "tenant_schema_versions" { "tenant_id, applied" } else { "*" };
        found.insert(table, db.sql(&format!("SELECT {columns} FROM platform.{table} ORDER BY 1")).await?);
    }
    Ok(found)
}

#[tokio::test]
async fn a_ledger_with_the_old_core_becomes_as_a_fresh_one() -> Result<()> {
    let old = Old::new(Some(probe::SET)).await?;
    let sets = Sets::new([THEN, RESOURCES, probe::SET])?;
    let expected = Plan {
        pending: pending(1),
        idle: vec!["core", "probe"],
        tenants: 1,
        up_to_date: 1,
        ..Plan::default()
    };
    assert_eq!(plan(&old.owner, &sets).await?, expected);
    let report = run(&old.owner, &sets).await?;
    assert_eq!((report.migrated, report.already, report.failed.len()), (1, 1, 0));
    assert_eq!(ready(&old.owner).await?, 1, "what was built ahead has all that it is to have");
    old.is_as_fresh(&sets).await
}

/// A set of that time whose table refers to the one that moves.
const NOTES: MigrationSet = MigrationSet::new(
    "notes",
    &[Migration::new(
        "2026-11-28-000009_notes",
        "CREATE TABLE notes (id uuid PRIMARY KEY, about uuid NOT NULL REFERENCES resources);
         CREATE INDEX notes_about ON notes (about); GRANT SELECT ON notes TO :\"tenant\";",
    )],
);

#[tokio::test]
async fn tables_that_refer_to_the_one_that_moved_are_built_after_it() -> Result<()> {
    let old = Old::new(Some(NOTES)).await?;
    let sets = Sets::new([THEN, RESOURCES, NOTES])?;
    run(&old.owner, &sets).await?;
    old.is_as_fresh(&sets).await
}

/// The releases between were never run.
#[tokio::test]
async fn what_the_core_has_got_since_is_given_with_the_conversion() -> Result<()> {
    const LATER: Migration = Migration::new(
        "2999-01-01-000000_later",
        "CREATE TABLE later (id int); GRANT SELECT ON later TO :\"tenant\"",
    );
    for before_the_ledger in [false, true] {
        let old = if before_the_ledger { Old::before_the_ledger().await? } else { Old::new(None).await? };
        let sets = Sets::new([core_with(&[LATER]), RESOURCES])?;
        let report = run(&old.owner, &sets).await?;
        assert_eq!((report.migrated, report.already, report.failed.len()), (2, 0, 0));
        old.is_as_fresh(&sets).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_old_core_of_which_a_migration_was_withdrawn_is_not_converted() -> Result<()> {
    let old = Old::new(None).await?;
    old.db
        .sql(
            "UPDATE platform.fleet_target SET wanted = '{[1,3)}'; DELETE FROM platform.fleet_migrations WHERE id = 3; \
             UPDATE platform.tenant_schema_versions SET applied = applied - '{[3,4)}'; \
             UPDATE platform.schema_pool SET applied = applied - '{[3,4)}'",
        )
        .await?;
    let before = ledger(&old.db).await?;
    let told = run(&old.owner, &new()?).await.err().context("it has to be told")?.to_string();
    assert!(told.contains("was withdrawn"), "{told}");
    assert_eq!(ledger(&old.db).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_database_of_before_the_ledger_becomes_as_a_fresh_one() -> Result<()> {
    let old = Old::before_the_ledger().await?;
    let sets = new()?;
    let seen = plan(&old.owner, &sets).await?;
    assert_eq!((seen.pending, seen.tenants, seen.first), (pending(1), 1, true));
    let report = run(&old.owner, &sets).await?;
    assert_eq!((report.migrated, report.already, report.failed.len()), (1, 1, 0));
    assert_eq!(ready(&old.owner).await?, 1);
    old.is_as_fresh(&sets).await
}

/// A run is cut short between the ledger of that time and its conversion.
#[tokio::test]
async fn a_tenant_that_cannot_follow_is_told_and_nothing_is_converted() -> Result<()> {
    for before_the_ledger in [false, true] {
        let old = if before_the_ledger { Old::before_the_ledger().await? } else { Old::new(None).await? };
        let in_the_way = format!("{}.resources", old.behind.schema());
        old.db.sql(&format!("ALTER TABLE {in_the_way} ADD COLUMN data_bytes int")).await?;
        let told = run(&old.owner, &new()?).await.err().context("it has to be told")?.to_string();
        assert!(told.contains("1 tenants could not be given core/2026-11-28-000003_resource_text"), "{told}");
        let before = ledger(&old.db).await?;
        run(&old.owner, &new()?).await.err().context("it is told again")?;
        assert_eq!(ledger(&old.db).await?, before);
        // Sign-ups go on, as they were.
        let meanwhile = build(&old.db, "meanwhile").await?;
        let has = format!("SELECT to_regclass('{}.resources') IS NOT NULL", meanwhile.schema());
        assert_eq!(old.db.value(&has).await?, "t");
        old.db.sql(&format!("ALTER TABLE {in_the_way} DROP COLUMN data_bytes")).await?;
        let report = run(&old.owner, &new()?).await?;
        assert_eq!((report.migrated, report.already), (1, 2));
        assert_eq!(unwell(&old.db, &new()?).await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn a_core_that_was_changed_is_not_taken_for_the_old_one() -> Result<()> {
    let old = Old::new(None).await?;
    let change = |by: &str| format!("UPDATE platform.fleet_migrations SET up = {by} WHERE id = 1");
    old.db.sql(&change("up || ' -- and more'")).await?;
    let before = ledger(&old.db).await?;
    let refused = run(&old.owner, &new()?).await;
    assert!(
        matches!(&refused, Err(DbError::MigrationChanged { file }) if file.starts_with("core/")),
        "{refused:?}"
    );
    let after = ledger(&old.db).await?;
    assert_eq!(
        (&after["fleet_migrations"], &after["fleet_target"]),
        (&before["fleet_migrations"], &before["fleet_target"])
    );
    // The ends of its lines are no change.
    old.db.sql(&change("replace(replace(up, ' -- and more', ''), E'\\n', E'\\r\\n')")).await?;
    assert_eq!(run(&old.owner, &new()?).await?.failed.len(), 0);
    old.is_as_fresh(&new()?).await
}

#[tokio::test]
async fn two_runs_convert_once() -> Result<()> {
    let old = Old::new(None).await?;
    let (sets, other) = (new()?, old.db.owner()?);
    let (one, two) = tokio::join!(run(&old.owner, &sets), run(&other, &sets));
    assert!(one?.failed.is_empty() && two?.failed.is_empty());
    old.is_as_fresh(&sets).await
}

/// Both have found a database of before the ledger; one has converted it before the other has the fleet's lock.
#[tokio::test]
async fn a_run_that_has_looked_before_another_one_converted_finds_it_done() -> Result<()> {
    let old = Old::before_the_ledger().await?;
    let sets = new()?;
    migrate_platform(&old.owner, &MigrateOptions::default(), &|_| {}).await?;
    // Its only connection goes to the run's first look, then to the other run, and then back.
    let late = old.db.owner_with(TestDb::pool_options(1))?;
    let options = MigrateOptions::default();
    let looks = migrate_tenants(&late, &sets, &options, &|_| {});
    let between = late.write(async |_| run(&old.owner, &sets).await);
    let (late, between) = tokio::join!(biased; looks, between);
    assert_eq!(
        (between?.failed.len(), ledger(&old.db).await?["fleet_migrations"].len()),
        (0, 2),
        "the other run has converted"
    );
    let late = late?;
    assert_eq!((late.already, late.failed.len()), (2, 0));
    old.is_as_fresh(&sets).await
}

/// A program of that time has failed at a tenant that this one has given all that it is to have.
#[tokio::test]
async fn a_mark_on_a_tenant_that_lacks_nothing_is_cleared() -> Result<()> {
    const LATER: &[Migration] =
        &[Migration::new("2026-12-01-000001_later", "ALTER TABLE resources ADD COLUMN later int")];
    let old = Old::new(None).await?;
    run(&old.owner, &new()?).await?;
    let mark = "UPDATE platform.tenant_schema_versions SET error = 'core/2026-11-28-000002_resource_bytes: it is there', failed_at = now()";
    for by_tenants in [false, true] {
        old.db.sql(mark).await?;
        assert_eq!(unwell(&old.db, &new()?).await?.len(), 1);
        if by_tenants {
            migrate_tenants(&old.owner, &new()?, &MigrateOptions::default(), &|_| {}).await?;
        } else {
            run(&old.owner, &new()?).await?;
        }
        assert_eq!(unwell(&old.db, &new()?).await?, Vec::<String>::new());
    }
    // One that lacks something keeps it.
    for tenant in [&old.whole, &old.behind] {
        old.db.sql(&format!("ALTER TABLE {}.resources ADD COLUMN later int", tenant.schema())).await?;
    }
    let set = MigrationSet::new("later", LATER);
    assert_eq!(run(&old.owner, &Sets::new([THEN, RESOURCES, set])?).await?.failed.len(), 2);
    let marked = "SELECT count(*) FROM platform.tenant_schema_versions WHERE error IS NOT NULL";
    assert_eq!(old.db.value(marked).await?, "2");
    Ok(())
}

/// An adopter's program that never had the example.
#[tokio::test]
async fn a_program_without_the_set_keeps_the_tables_as_those_of_a_removed_one() -> Result<()> {
    let old = Old::new(None).await?;
    let without = Sets::new([THEN])?;
    assert_eq!(plan(&old.owner, &without).await?.pending, pending(1));
    run(&old.owner, &without).await?;
    let seen = unwell(&old.db, &without).await?;
    let [seen] = &seen[..] else { anyhow::bail!("{seen:?}") };
    assert!(seen.starts_with("removed sets: the set resources is not part of this program"), "{seen}");
    assert!(forget(&old.owner, "resources").await?);
    let moved = build(&old.db, "moved").await?;
    let has = format!("SELECT to_regclass('{}.resources') IS NULL", moved.schema());
    assert_eq!(old.db.value(&has).await?, "t", "the pool's schema is built anew");
    // A program with the set puts it back.
    assert_eq!(run(&old.owner, &new()?).await?.migrated, 1);
    assert_eq!(catalog(&old.db, &[&moved.schema()]).await?, catalog(&old.db, &[&old.whole.schema()]).await?);
    Ok(())
}
