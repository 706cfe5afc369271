//! A server that is there and refuses: what is told of it, and that nothing is half-done.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output},
};

use anyhow::Result;
use bulkhead_db::{
    Db, DbError, JsonText, Owner, Pool, PoolOptions,
    fleet::{
        migrate::{MigrateOptions, Migration, migrate_tenants},
        provision::provision_tenant,
    },
};
use bulkhead_domain::{Clock as _, JobId, PlanName, SystemClock};
use bulkhead_fixtures::{Cluster, Login, TestDb, TestTenant, timeouts};
use bulkhead_servers::Scratch;
use bulkhead_telemetry::{Metrics, metrics::DbFailure};
use futures::future::join_all;
use serde_json::json;

use crate::{probe, support::release_with};

/// Connections that count what fails on them.
struct Measured {
    metrics: Metrics,
    db: Db,
}

impl Measured {
    fn new(database: &TestDb, connections: usize) -> Result<Self> {
        let metrics = Metrics::new()?;
        let pool = |login, name| {
            let connector = database.connector(login)?;
            let options = TestDb::pool_options(connections);
            anyhow::Ok(Pool::measured(connector, options, metrics.database.pool(name)))
        };
        let db = Db::new(pool(Login::Tenant, "tenant")?, pool(Login::Platform, "platform")?, timeouts());
        Ok(Self { metrics, db })
    }

    fn counted(&self, why: DbFailure) -> u64 {
        let series = format!("bulkhead_db_failures_total{{pool=\"tenant\",reason=\"{}\"}} ", why.as_str());
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
    }

    /// Two things of this size in one transaction; incompressible, so that they need their place.
    async fn write(&self, tenant: &TestTenant, bytes: usize) -> Result<(), DbError> {
        self.db
            .write(tenant.proven(), async |tx| {
                for _ in 0..2 {
                    let data = JsonText::of(&json!({ "x": noise(bytes) }))
                        .map_err(|error| DbError::Unreadable(error.to_string()))?;
                    probe::insert(tx, "n", "k", &data).await?;
                }
                Ok(())
            })
            .await
    }
}

/// Text that does not compress.
fn noise(bytes: usize) -> String {
    let mut state = u64::try_from(SystemClock.now().timestamp_micros()).unwrap_or(1) | 1;
    let digit = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + u8::try_from(state % 64).unwrap_or_default()).to_ascii_lowercase()
    });
    digit.map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(bytes).collect()
}

fn refused(outcome: &Result<(), DbError>, why: DbFailure) -> bool {
    matches!(outcome, Err(error @ DbError::Refused { why: found, .. }) if *found == why && error.is_transient())
}

async fn rows(database: &TestDb, tenant: &TestTenant) -> Result<String> {
    database.value(&format!("SELECT count(*) FROM {}.things", tenant.schema())).await
}

/// As on a standby, or when an operator has made the database read-only. Sessions that are open already go on as
/// before.
#[tokio::test]
async fn a_database_that_takes_no_writes_refuses_for_now() -> Result<()> {
    let database = probe::database().await?;
    let tenant = database.create_tenant("acme", PlanName::FREE).await?;
    database
        .sql(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name()))
        .await?;
    let measured = Measured::new(&database, 1)?;
    assert_eq!(measured.counted(DbFailure::ReadOnly), 0, "the series is there before the first failure");
    let outcome = measured.write(&tenant, 10).await;
    assert!(refused(&outcome, DbFailure::ReadOnly), "{outcome:?}");
    assert_eq!(measured.counted(DbFailure::ReadOnly), 1);
    // Reads go on.
    let read = async |tx: &mut _| bulkhead_db::gate::profile::find(tx).await;
    assert!(measured.db.read::<_, DbError>(tenant.proven(), read).await?.is_some());
    // What builds and migrates leaves nothing behind, and is no fault of the tenants.
    let waiting = TestTenant { id: bulkhead_domain::TenantId::mint(SystemClock.now()), ..tenant.clone() };
    let at = SystemClock.now();
    let build = async |tx: &mut _| provision_tenant(tx, waiting.id, JobId::mint(at), at).await;
    let built = database.owner()?.write(build).await.map(drop);
    assert!(refused(&built, DbFailure::ReadOnly), "{built:?}");
    let next = release_with(&[Migration::new("2999-01-01-000000_n", "SELECT 1")]);
    let migrated =
        migrate_tenants(&database.owner()?, &next, &MigrateOptions::default(), &|_| {}).await.map(drop);
    assert!(refused(&migrated, DbFailure::ReadOnly), "{migrated:?}");

    let admin = database.cluster().session(Login::Admin, "postgres").await?;
    admin
        .batch_execute(&format!("ALTER DATABASE {} RESET default_transaction_read_only", database.name()))
        .await?;
    let failed = "SELECT count(*) FROM platform.tenant_schema_versions WHERE error IS NOT NULL";
    assert_eq!(database.value(failed).await?, "0");
    assert_eq!(rows(&database, &tenant).await?, "0");
    Measured::new(&database, 1)?.write(&tenant, 10).await?;
    assert_eq!(rows(&database, &tenant).await?, "2");
    Ok(())
}

/// A disk of four megabytes, for as long as it lives.
struct SmallDisk {
    place: Scratch,
    /// What a command that mounts begins with.
    privilege: &'static [&'static str],
}

impl SmallDisk {
    /// One that belongs to the owner of this directory, the server's own account. Root mounts it, or who may become root
    /// without a password; `None` for others.
    fn mount(of: &Path) -> Result<Option<Self>> {
        use std::os::unix::fs::MetadataExt as _;
        let owner = std::fs::metadata(of)?;
        let options = format!("size=4m,mode=700,uid={},gid={}", owner.uid(), owner.gid());
        for privilege in [&["mount"][..], &["sudo", "-n", "mount"]] {
            let place = Scratch::new()?;
            let mounted = command(privilege, &["-t", "tmpfs", "-o", &options, "tmpfs"], place.path());
            // Where there is no such program, the next one is tried.
            if mounted.is_ok_and(|output| output.status.success()) {
                return Ok(Some(Self { place, privilege }));
            }
        }
        Ok(None)
    }

    fn grow(&self) -> Result<()> {
        let grown = command(self.privilege, &["-o", "remount,size=64m"], self.place.path())?;
        anyhow::ensure!(grown.status.success(), "{grown:?}");
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let (_mount, privilege) = self.privilege.split_last().unwrap_or((&"", &[]));
        // Lazily: a server that is being stopped may still have files open.
        drop(command(&[privilege, &["umount"]].concat(), &["--lazy"], self.place.path()));
    }
}

/// Runs a command that ends in a directory's path.
fn command(program: &[&str], arguments: &[&str], directory: &Path) -> std::io::Result<Output> {
    let (name, first) = program.split_first().unwrap_or((&"", &[]));
    Command::new(name).args(first).args(arguments).arg(directory).output()
}

/// Where nothing may be mounted this ends, and says so past the test harness, which keeps what a test prints that does not fail;
/// the texts are tested in `error.rs` all the same.
#[tokio::test]
async fn a_full_disk_refuses_for_now_and_leaves_nothing_half_done() -> Result<()> {
    let cluster = Cluster::start(|_| {}, None).await?;
    let database = TestDb::on_with(cluster.clone(), &probe::sets()?).await?;
    let data = database.value("SHOW data_directory").await?;
    let Some(disk) = SmallDisk::mount(Path::new(&data))? else {
        let skipped =
            "refusals::a_full_disk...: SKIPPED, for a small disk cannot be mounted without root or sudo";
        writeln!(std::io::stderr(), "{skipped}")?;
        return Ok(());
    };
    let tenant = database.create_tenant("acme", PlanName::FREE).await?;
    let place = disk.place.path().display();
    database.sql(&format!("CREATE TABLESPACE small LOCATION '{place}'")).await?;
    database
        .sql(&format!("ALTER TABLE {schema}.things SET TABLESPACE small", schema = tenant.schema()))
        .await?;
    let measured = Measured::new(&database, 2)?;
    let mut written = 0;
    let outcome = loop {
        match measured.write(&tenant, 200_000).await {
            Ok(()) => written += 2,
            failed => break failed,
        }
        anyhow::ensure!(written < 100, "the disk is never full");
    };
    assert!(refused(&outcome, DbFailure::DiskFull), "{outcome:?}");
    assert!(measured.counted(DbFailure::DiskFull) >= 1);
    assert!(written > 0, "the disk was full from the start");
    // Of what was refused, the first of its two rows is gone, too.
    assert_eq!(rows(&database, &tenant).await?, written.to_string());
    // A migration stops and is to be repeated; that the disk is full is no fault of the tenant's.
    let up = "INSERT INTO things (id, name, kind, data)
        SELECT gen_random_uuid(), 'n', 'k', json_build_object('x', (
            SELECT string_agg(md5(random()::text || n || m), '') FROM generate_series(1, 20000) n))
        FROM generate_series(1, 8) m";
    let next = probe::sets_with(Migration::new("2999-01-01-000000_n", up))?;
    let migrated =
        migrate_tenants(&database.owner()?, &next, &MigrateOptions::default(), &|_| {}).await.map(drop);
    assert!(refused(&migrated, DbFailure::DiskFull), "{migrated:?}");
    let marked = "SELECT count(*) FROM platform.tenant_schema_versions WHERE error IS NOT NULL";
    assert_eq!(database.value(marked).await?, "0");
    // With room again, the same request is answered.
    disk.grow()?;
    measured.write(&tenant, 200_000).await?;
    assert_eq!(rows(&database, &tenant).await?, (written + 2).to_string());
    Ok(())
}

#[tokio::test]
async fn a_server_without_a_connection_left_refuses_for_now() -> Result<()> {
    let database = TestDb::on_with(Cluster::start(|_| {}, None).await?, &probe::sets()?).await?;
    let tenant = database.create_tenant("acme", PlanName::FREE).await?;
    database.sql("ALTER ROLE bulkhead_tenant CONNECTION LIMIT 1").await?;
    let holder = database.session(Login::Tenant).await?;
    let measured = Measured::new(&database, 1)?;
    let outcome = measured.write(&tenant, 10).await;
    assert!(refused(&outcome, DbFailure::TooManyConnections), "{outcome:?}");
    assert_eq!(measured.counted(DbFailure::TooManyConnections), 1);
    drop(holder);
    Ok(())
}

/// Temporary files, memory for locks: what one statement uses up is the statement's to give back.
#[tokio::test]
async fn limits_of_the_server_refuse_for_now() -> Result<()> {
    let few_locks = |options: &mut bulkhead_servers::PostgresOptions| {
        options.settings.push(("max_locks_per_transaction".to_owned(), "10".to_owned()));
        options.max_connections = 25;
    };
    let database = TestDb::on(Cluster::start(few_locks, None).await?).await?;
    let owner = database.owner()?;
    let batch = async |owner: &Owner, up: &'static str| {
        let set = release_with(&[Migration::new("2999-01-01-000000_n", up)]);
        migrate_tenants(owner, &set, &MigrateOptions::default(), &|_| {}).await.map(drop)
    };
    let locks = batch(
        &owner,
        "DO $$ BEGIN FOR n IN 1..2000 LOOP EXECUTE format('CREATE TABLE x%s (id int)', n); END LOOP; END $$",
    )
    .await;
    assert!(refused(&locks, DbFailure::OutOfMemory), "{locks:?}");
    database.sql("ALTER ROLE bulkhead_provisioner SET temp_file_limit = '64kB'").await?;
    database.sql("ALTER ROLE bulkhead_provisioner SET work_mem = '64kB'").await?;
    let owner = database.owner()?;
    let files =
        batch(&owner, "CREATE TABLE x AS SELECT n FROM generate_series(1, 200000) n ORDER BY md5(n::text)")
            .await;
    assert!(refused(&files, DbFailure::Limit), "{files:?}");
    assert_eq!(database.value("SELECT count(*) FROM pg_class WHERE relname ~ '^x[0-9]*$'").await?, "0");
    Ok(())
}

#[tokio::test]
async fn our_own_time_outs_are_told_from_each_other() -> Result<()> {
    let database = probe::database().await?;
    let tenant = database.create_tenant("acme", PlanName::FREE).await?;
    let holder = database.session(Login::Admin).await?;
    holder.batch_execute(&format!("BEGIN; LOCK TABLE {}.things", tenant.schema())).await?;
    for (timeouts, why) in [
        (bulkhead_db::Timeouts { lock_ms: 50, ..timeouts() }, DbFailure::LockTimeout),
        (bulkhead_db::Timeouts { statement_ms: 50, ..timeouts() }, DbFailure::StatementTimeout),
    ] {
        let metrics = Metrics::new()?;
        let options = PoolOptions { connections: 2, ..TestDb::pool_options(2) };
        let tenants =
            Pool::measured(database.connector(Login::Tenant)?, options, metrics.database.pool("tenant"));
        let platform = Pool::new(database.connector(Login::Platform)?, options);
        let measured = Measured { db: Db::new(tenants, platform, timeouts), metrics };
        let outcomes = join_all((0..2).map(|_| measured.write(&tenant, 10))).await;
        for outcome in outcomes {
            assert!(
                matches!(&outcome, Err(error @ DbError::Cancelled(_)) if error.is_transient()),
                "{outcome:?}"
            );
        }
        assert_eq!(measured.counted(why), 2);
    }
    holder.batch_execute("ROLLBACK").await?;
    assert_eq!(rows(&database, &tenant).await?, "0");
    Ok(())
}
