//! The migrations themselves, and running them over many tenants.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use bulkhead_db::{
    DbError, Owner, PoolOptions,
    fleet::migrate::{
        CORE, MigrateOptions, Migration, MigrationReport, Progress, RESOURCES, Sets, migrate,
        migrate_platform, migrate_tenants, revert_platform_once,
    },
};
use bulkhead_domain::PlanName;
use bulkhead_fixtures::{Cluster, Login, TestDb, TestTenant};
use bulkhead_sqlcheck::{Direction, judge, relations_created};
use bulkhead_testkit::catalog::KEYS_WITHOUT_INDEX;

use crate::{
    probe,
    support::{catalog, release_with},
};

/// A later release's migration, as one would be written.
const NOTES: Migration = Migration::new(
    "2999-01-01-000000_notes",
    "CREATE TABLE notes (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES users (id));
         CREATE INDEX notes_user ON notes (user_id);
         ALTER TABLE users ADD COLUMN colour text;
         GRANT SELECT, INSERT ON notes TO :\"tenant\" -- no semicolon",
);
const LABELS: Migration = Migration::new(
    "2999-01-01-000001_labels",
    "ALTER TABLE notes ADD COLUMN label text NOT NULL DEFAULT 'none';",
);

fn with_planted() -> Sets {
    release_with(&[NOTES, LABELS])
}

fn options() -> MigrateOptions {
    MigrateOptions { connections: 2, batch: 3, lock_ms: 200, statement_ms: 10_000 }
}

async fn run(owner: &Owner, sets: &Sets) -> Result<MigrationReport> {
    Ok(migrate_tenants(owner, sets, &options(), &|_| {}).await?)
}

async fn tenants(db: &TestDb, count: usize) -> Result<Vec<TestTenant>> {
    let mut made = Vec::new();
    for number in 0..count {
        made.push(db.create_tenant(&format!("tenant-{number}"), PlanName::FREE).await?);
    }
    Ok(made)
}

async fn at_newest(db: &TestDb) -> Result<usize> {
    let sql =
        "SELECT count(*) FROM platform.tenant_schema_versions JOIN platform.fleet_migrations ON applied @> id
        WHERE name = '2999-01-01-000001_labels' AND error IS NULL";
    Ok(db.value(sql).await?.parse()?)
}

/// Counts what a run tells.
#[derive(Default)]
struct Events {
    pending: AtomicUsize,
    migrated: AtomicUsize,
    failed: AtomicUsize,
}

impl Events {
    fn note(&self, event: Progress<'_>) {
        match event {
            Progress::Pending(count) => self.pending.fetch_add(count, Ordering::SeqCst),
            Progress::Migrated(_) => self.migrated.fetch_add(1, Ordering::SeqCst),
            Progress::Failed(..) => self.failed.fetch_add(1, Ordering::SeqCst),
            Progress::Plan(_) | Progress::Platform(_) | Progress::Waiting => 0,
        };
    }

    fn counts(&self) -> [usize; 3] {
        [&self.pending, &self.migrated, &self.failed].map(|counter| counter.load(Ordering::SeqCst))
    }
}

fn directories(set: &str) -> Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(set);
    let mut found = fs::read_dir(root)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    found.retain(|path| path.is_dir());
    found.sort();
    Ok(found)
}

#[tokio::test]
async fn platform_up_down_up_leaves_no_trace() -> Result<()> {
    let db = TestDb::unmigrated().await?;
    let owner = db.owner()?;
    let schemas = ["platform", "gate"];
    let empty = catalog(&db, &schemas).await?;
    let applied = migrate_platform(&owner, &options(), &|_| {}).await?;
    assert_eq!(applied.len(), directories("platform")?.len());
    let migrated = catalog(&db, &schemas).await?;
    assert!(migrated.contains("relation §0.tenants kind r owner bulkhead_owner"));
    assert_eq!(
        db.value(
            "SELECT relnamespace::regnamespace FROM pg_class WHERE relname = '__diesel_schema_migrations'"
        )
        .await?,
        "platform"
    );

    for name in applied.iter().rev() {
        let version: String = name.split('_').next().unwrap_or_default().replace('-', "");
        assert_eq!(revert_platform_once(&owner).await?, version);
    }
    assert_eq!(catalog(&db, &schemas).await?, empty, "down leaves something behind, or takes too much away");
    assert!(revert_platform_once(&owner).await.is_err(), "nothing is left to revert");

    assert_eq!(migrate_platform(&owner, &options(), &|_| {}).await?, applied);
    assert_eq!(catalog(&db, &schemas).await?, migrated);
    assert_eq!(migrate_platform(&owner, &options(), &|_| {}).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn each_platform_migration_goes_back_to_the_one_before() -> Result<()> {
    let db = TestDb::unmigrated().await?;
    let admin = db.session(Login::Admin).await?;
    admin.batch_execute("SET ROLE bulkhead_owner; SET search_path = platform").await?;
    for directory in directories("platform")? {
        let before = catalog(&db, &["platform", "gate"]).await?;
        let (up, down) =
            (fs::read_to_string(directory.join("up.sql"))?, fs::read_to_string(directory.join("down.sql"))?);
        admin.batch_execute(&up).await?;
        assert_ne!(catalog(&db, &["platform", "gate"]).await?, before, "{}", directory.display());
        admin.batch_execute(&down).await?;
        assert_eq!(catalog(&db, &["platform", "gate"]).await?, before, "{}", directory.display());
        admin.batch_execute(&up).await?;
    }
    Ok(())
}

/// Tenants that a person has deleted before there was an operation for it: with their schema there is a way back, without it
/// there is nothing to go back to. What is purged is not forgotten by going back a version.
#[tokio::test]
async fn the_end_of_a_tenants_life_is_neither_invented_nor_forgotten() -> Result<()> {
    let db = TestDb::unmigrated().await?;
    let admin = db.session(Login::Admin).await?;
    admin.batch_execute("SET ROLE bulkhead_owner; SET search_path = platform").await?;
    let mut down = String::new();
    for directory in directories("platform")? {
        let up = fs::read_to_string(directory.join("up.sql"))?;
        if !directory.ends_with("2026-11-28-000002_tenant_lifecycle") {
            admin.batch_execute(&up).await?;
            continue;
        }
        let (there, gone) = (format!("t_{}", "a".repeat(26)), format!("t_{}", "b".repeat(26)));
        admin
            .batch_execute(&format!(
                "INSERT INTO tenants (id, slug, name, role_name, status, plan, created_at, updated_at) VALUES
                     (gen_random_uuid(), 'there', 'x', '{there}', 'deleted', 'free', now(), now()),
                     (gen_random_uuid(), 'gone', 'x', '{gone}', 'deleted', 'free', now(), now());
                 CREATE SCHEMA {there}"
            ))
            .await?;
        admin.batch_execute(&up).await?;
        down = fs::read_to_string(directory.join("down.sql"))?;
        break;
    }
    assert_eq!(
        db.value("SELECT string_agg(slug || coalesce(' to ' || restore_to, ''), ', ' ORDER BY slug) FROM platform.tenants").await?,
        "gone, there to suspended"
    );
    let purging = "SELECT string_agg(slug || ' ' || step, ', ') FROM platform.tenant_purges";
    assert_eq!(db.value(purging).await?, "gone jobs");
    let refused = async |expected: &str| -> Result<()> {
        let error =
            admin.batch_execute(&format!("BEGIN; {down}")).await.err().context(expected.to_owned())?;
        let why = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
        assert!(why.contains(expected), "{why}");
        Ok(admin.batch_execute("ROLLBACK").await?)
    };
    refused("not purged").await?;
    // One is back in service, the other's purge is finished.
    admin
        .batch_execute(
            "UPDATE tenants SET status = 'suspended', deleted_at = NULL, purge_after = NULL, restore_to = NULL WHERE slug = 'there';
             UPDATE tenant_purges SET finished_at = now()",
        )
        .await?;
    refused("would be lost").await?;
    admin
        .batch_execute(
            "INSERT INTO tenant_audit_log SELECT tenant_id, tenant_id, now(), 'a', 'b', 'c', 'd' FROM tenant_purges;
             DELETE FROM tenant_purges",
        )
        .await?;
    refused("would be lost").await?;
    admin.batch_execute("DELETE FROM tenant_audit_log").await?;
    admin.batch_execute(&format!("BEGIN; {down}; COMMIT")).await?;
    Ok(())
}

#[tokio::test]
async fn each_tenant_migration_goes_back_to_the_one_before() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    let schema = tenant.schema();
    let admin = db.session(Login::Admin).await?;
    admin
        .batch_execute(&format!(
            "CREATE ROLE {schema}; SET ROLE bulkhead_owner; CREATE SCHEMA {schema}; SET search_path = {schema}"
        ))
        .await?;
    // No program runs these files: they are for a person who has to go back, and so they are true.
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut ups = BTreeMap::<&str, String>::new();
    for (set, migration) in Sets::new([CORE, RESOURCES])?.migrations() {
        let ups = ups.entry(set).or_default();
        ups.push_str(migration.up());
        let place = if set == CORE.name() { "../migrations/tenant" } else { "resources/migrations" };
        let down = fs::read_to_string(crates.join(place).join(migration.name()).join("down.sql"))?;
        assert_eq!(judge(&down, Direction::Down, &relations_created(ups)), []);
        let before = catalog(&db, &[&schema]).await?;
        let [up, down] = [migration.up(), &down].map(|sql| sql.replace(":\"tenant\"", &schema));
        admin.batch_execute(&up).await?;
        assert_ne!(catalog(&db, &[&schema]).await?, before, "{set}/{}", migration.name());
        admin.batch_execute(&down).await?;
        assert_eq!(catalog(&db, &[&schema]).await?, before, "{set}/{}", migration.name());
        admin.batch_execute(&up).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_fresh_tenant_equals_an_upgraded_one() -> Result<()> {
    let db = TestDb::new().await?;
    let old = db.create_tenant("old", PlanName::FREE).await?;
    let report = run(&db.owner()?, &with_planted()).await?;
    assert_eq!((report.migrated, report.already), (1, 0));
    let fresh = db.create_tenant_with(&with_planted(), "fresh", PlanName::FREE).await?;
    let (upgraded, fresh) = (catalog(&db, &[&old.schema()]).await?, catalog(&db, &[&fresh.schema()]).await?);
    assert!(upgraded.contains("column §0.notes.label"), "{upgraded}");
    assert!(upgraded.contains("relation §0.notes grants INSERT to §0"), "{upgraded}");
    assert_eq!(upgraded, fresh);
    Ok(())
}

#[tokio::test]
async fn every_foreign_key_has_an_index() -> Result<()> {
    let db = probe::database().await?;
    db.create_tenant("acme", PlanName::FREE).await?;
    let bare = KEYS_WITHOUT_INDEX;
    assert_eq!(db.sql(bare).await?, Vec::<Vec<Option<String>>>::new());
    assert!(db.value("SELECT count(*) FROM pg_constraint WHERE contype = 'f'").await?.parse::<u32>()? > 5);
    db.sql("CREATE TABLE platform.bare (plan text REFERENCES platform.plans)").await?;
    assert_eq!(db.sql(bare).await?.len(), 1, "the query sees a key without an index");
    Ok(())
}

#[tokio::test]
async fn one_bad_tenant_is_marked_and_stops_nobody_else() -> Result<()> {
    let db = TestDb::new().await?;
    let all = tenants(&db, 8).await?;
    let bad = &all[4];
    let owner = db.owner()?;
    db.sql(&format!("CREATE TABLE {}.notes (in_the_way int)", bad.schema())).await?;
    let before = catalog(&db, &[&bad.schema()]).await?;

    let events = Events::default();
    let report = migrate_tenants(&owner, &with_planted(), &options(), &|event| events.note(event)).await?;
    assert_eq!((report.migrated, report.already), (7, 0));
    let [(failed, error)] = &report.failed[..] else { anyhow::bail!("{:?}", report.failed) };
    assert_eq!(*failed, bad.id);
    assert!(error.contains("already exists"), "{error}");
    assert_eq!(events.counts(), [8, 7, 1]);
    assert_eq!(catalog(&db, &[&bad.schema()]).await?, before, "the bad tenant's schema is as it was");
    // What it has is what it had: those of the core that were there before.
    let row = "SELECT tenant_id || ' ' || applied FROM platform.tenant_schema_versions
        WHERE error LIKE 'core/2999-01-01-000000_notes: %already exists%' AND failed_at IS NOT NULL";
    let had = format!("{} {{[1,{})}}", bad.id.uuid(), CORE.tenant().len() + 1);
    assert_eq!(db.value(row).await?, had);

    // Still bad: the run tries this tenant once more and touches no other.
    let again = run(&owner, &with_planted()).await?;
    assert_eq!((again.migrated, again.already, again.failed.len()), (0, 7, 1));
    // Repaired: the mark goes.
    db.sql(&format!("DROP TABLE {}.notes", bad.schema())).await?;
    let repaired = run(&owner, &with_planted()).await?;
    assert_eq!((repaired.migrated, repaired.already, repaired.failed.len()), (1, 7, 0));
    assert_eq!(at_newest(&db).await?, 8);
    Ok(())
}

#[tokio::test]
async fn a_tenant_whose_tables_are_in_use_is_tried_again() -> Result<()> {
    let db = TestDb::new().await?;
    let all = tenants(&db, 4).await?;
    let busy = db.session(Login::Admin).await?;
    busy.batch_execute(&format!("BEGIN; LOCK TABLE {}.users IN ACCESS SHARE MODE", all[1].schema())).await?;
    let release = async {
        // The others do not wait for the busy one.
        while at_newest(&db).await? < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        busy.batch_execute("COMMIT").await?;
        Ok::<_, anyhow::Error>(())
    };
    let owner = db.owner()?;
    let set = with_planted();
    let both = async { tokio::join!(run(&owner, &set), release) };
    let (report, released) = tokio::time::timeout(Duration::from_secs(20), both).await?;
    released?;
    assert_eq!(report?.migrated, 4);
    assert_eq!(at_newest(&db).await?, 4);
    Ok(())
}

#[tokio::test]
async fn a_tenant_that_another_run_has_claimed_is_left_to_it_but_waited_for() -> Result<()> {
    let db = TestDb::new().await?;
    let all = tenants(&db, 4).await?;
    let other = db.session(Login::Admin).await?;
    let claim = format!(
        "BEGIN; SELECT FROM platform.tenant_schema_versions WHERE tenant_id = '{}' FOR UPDATE",
        all[1].id.uuid()
    );
    other.batch_execute(&claim).await?;
    let release = async {
        while at_newest(&db).await? < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Longer than a statement may wait for a lock.
        tokio::time::sleep(Duration::from_millis(400)).await;
        other.batch_execute("ROLLBACK").await?;
        Ok::<_, anyhow::Error>(())
    };
    let owner = db.owner()?;
    let set = with_planted();
    let both = async { tokio::join!(run(&owner, &set), release) };
    let (report, released) = tokio::time::timeout(Duration::from_secs(20), both).await?;
    released?;
    assert_eq!(report?.migrated, 4);
    assert_eq!(at_newest(&db).await?, 4);
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_cut_short_is_resumed_by_the_next() -> Result<()> {
    let db = TestDb::new().await?;
    let all = tenants(&db, 9).await?;
    let (owner, set) = (db.owner()?, with_planted());
    let events = Events::default();
    let listener = |event: Progress<'_>| events.note(event);
    let options = options();
    let mut migration = Box::pin(migrate_tenants(&owner, &set, &options, &listener));
    while events.counts()[1] == 0 {
        assert!(futures::poll!(&mut migration).is_pending(), "it was to be cut short");
        tokio::task::yield_now().await;
    }
    // What the server sees of a process that is killed: connections that end in the middle of a transaction.
    drop(migration);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND usename = 'bulkhead_provisioner'";
    db.sql(kill).await?;

    let done = at_newest(&db).await?;
    assert!((1..9).contains(&done), "{done} of 9");
    for tenant in &all {
        let sql = format!(
            "SELECT (applied @> id) = (to_regclass('{}.notes') IS NOT NULL)
             FROM platform.tenant_schema_versions, platform.fleet_migrations
             WHERE name = '2999-01-01-000001_labels' AND tenant_id = '{}'",
            tenant.schema(),
            tenant.id.uuid()
        );
        assert_eq!(db.value(&sql).await?, "t", "the record and the schema agree");
    }
    let report = run(&db.owner()?, &with_planted()).await?;
    assert_eq!((report.migrated, report.already), (9 - done, done));
    Ok(())
}

#[tokio::test]
async fn two_runs_at_once_share_the_work() -> Result<()> {
    let db = TestDb::unmigrated().await?;
    let (one, two) = (db.owner()?, db.owner()?);
    let (core, fast) = (Sets::core(), options());
    let silent = |_: Progress<'_>| {};
    let (a, b) = tokio::join!(migrate(&one, &core, &fast, &silent), migrate(&two, &core, &fast, &silent));
    assert_eq!(a?.platform_applied.len() + b?.platform_applied.len(), directories("platform")?.len());

    tenants(&db, 10).await?;
    let set = with_planted();
    let (a, b) = tokio::join!(run(&one, &set), run(&two, &set));
    let (a, b) = (a?, b?);
    assert_eq!(a.migrated + b.migrated, 10, "each tenant was migrated once");
    assert!(a.failed.is_empty() && b.failed.is_empty());
    assert_eq!(at_newest(&db).await?, 10);
    Ok(())
}

/// How many transactions the database has seen end.
async fn transactions(db: &TestDb) -> Result<u64> {
    let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    Ok(db.value(sql).await?.parse()?)
}

#[tokio::test]
async fn a_run_with_nothing_to_do_does_not_ask_each_of_ten_thousand_tenants() -> Result<()> {
    let db = TestDb::new().await?;
    tenants(&db, 3).await?;
    let owner = db.owner_with(TestDb::pool_options(1))?;
    let report = run(&owner, &Sets::core()).await?;
    assert_eq!((report.migrated, report.already), (0, 3));
    db.sql(
        "INSERT INTO platform.tenants (id, slug, name, role_name, status, plan, created_at, updated_at)
             SELECT gen_random_uuid(), 'made-up-' || n, 'x', 't_' || lpad(n::text, 26, '0'), 'active', 'free', now(), now()
             FROM generate_series(1, 10000) n;
         INSERT INTO platform.tenant_schema_versions (tenant_id, version, applied, migrated_at)
             SELECT id, '99990101000000', wanted, now() FROM platform.tenants, platform.fleet_target
             ON CONFLICT DO NOTHING; ANALYZE",
    )
    .await?;
    let before = transactions(&db).await?;
    let report = run(&owner, &Sets::core()).await?;
    assert_eq!((report.migrated, report.already), (0, 10_003));
    // A backend tells what it has done when it ends.
    drop(owner);
    let backends = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'bulkhead_provisioner'";
    while db.value(backends).await? != "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let made = transactions(&db).await? - before;
    assert!(made < 1_000, "{made} transactions");
    Ok(())
}

/// A set whose newest migration is this SQL, which may use the sequence `platform.tries` to count how often it is run.
async fn counting(db: &TestDb, up: &'static str) -> Result<Sets> {
    db.sql("CREATE SEQUENCE platform.tries; ALTER SEQUENCE platform.tries OWNER TO bulkhead_owner").await?;
    Ok(release_with(&[Migration::new("2999-01-01-000000_slow", up)]))
}

async fn tries(db: &TestDb) -> Result<i64> {
    Ok(db.value("SELECT last_value FROM platform.tries").await?.parse()?)
}

/// The whole batch takes twice as long as a client waits for an answer.
#[tokio::test]
async fn a_batch_may_take_longer_than_an_answer() -> Result<()> {
    let db = TestDb::new().await?;
    tenants(&db, 5).await?;
    let set = counting(&db, "SELECT pg_sleep(0.4), nextval('platform.tries')").await?;
    let impatient = PoolOptions { answer: Duration::from_secs(1), ..TestDb::pool_options(1) };
    let options = MigrateOptions { batch: 20, ..options() };
    let report = migrate_tenants(&db.owner_with(impatient)?, &set, &options, &|_| {}).await?;
    assert_eq!((report.migrated, report.failed), (5, vec![]));
    assert_eq!(tries(&db).await?, 1 + 5, "the rehearsal, and each tenant once: none had to be tried alone");
    Ok(())
}

#[tokio::test]
async fn a_tenant_that_is_slower_than_an_answer_stops_nobody_else() -> Result<()> {
    let db = TestDb::new().await?;
    let all = tenants(&db, 4).await?;
    db.sql(&format!("CREATE TABLE {}.large (n int)", all[1].schema())).await?;
    let set = counting(
        &db,
        "SELECT nextval('platform.tries'); SELECT pg_sleep(CASE WHEN to_regclass('large') IS NULL THEN 0 ELSE 8 END)",
    )
    .await?;
    let impatient = PoolOptions { answer: Duration::from_secs(2), ..TestDb::pool_options(1) };
    let owner = db.owner_with(impatient)?;
    let report = migrate_tenants(&owner, &set, &MigrateOptions { batch: 20, ..options() }, &|_| {}).await?;
    assert_eq!(report.migrated, 3);
    let [(failed, error)] = &report.failed[..] else { anyhow::bail!("{:?}", report.failed) };
    assert_eq!(
        (*failed, error.as_str()),
        (all[1].id, "core/2999-01-01-000000_slow: the database did not answer in time")
    );
    // The rehearsal; the batch as far as the slow one; each alone, the slow one once.
    assert_eq!(tries(&db).await?, 1 + 2 + 4);
    Ok(())
}

/// The run marks no tenant and ends with an error: it is to be repeated.
#[tokio::test]
async fn a_server_that_is_frozen_ends_the_run() -> Result<()> {
    let cluster = Cluster::start(|_| {}, None).await?;
    let db = TestDb::on(cluster.clone()).await?;
    tenants(&db, 3).await?;
    let set = counting(&db, "SELECT pg_sleep(0.5), nextval('platform.tries')").await?;
    let impatient = PoolOptions { answer: Duration::from_secs(2), ..TestDb::pool_options(2) };
    let (owner, options) = (db.owner_with(impatient)?, MigrateOptions { batch: 2, ..options() });
    let freeze = async {
        // The rehearsal is over, and both connections are at work.
        while tries(&db).await? < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster.server().context("this cluster was given")?.freeze()?;
        anyhow::Ok(())
    };
    let (outcome, frozen) = tokio::join!(migrate_tenants(&owner, &set, &options, &|_| {}), freeze);
    cluster.server().context("this cluster was given")?.thaw()?;
    frozen?;
    let error = outcome.err().context("it cannot have ended well")?;
    assert!(matches!(error, DbError::Timeout | DbError::Unavailable(_)), "{error:?}");
    let marked = "SELECT count(*) FROM platform.tenant_schema_versions WHERE failed_at IS NOT NULL";
    assert_eq!(db.value(marked).await?, "0");
    Ok(())
}
