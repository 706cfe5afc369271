//! Brings the platform's schemas, and then every tenant's, to the newest version.
//!
//! The platform's set runs through diesel's harness. A tenant's pending migrations run as text, each in a message of its own, up
//! to [`MigrateOptions::batch`] tenants in one transaction, several transactions side by side; a tenant's version is
//! recorded in the transaction that changes its schema, so a run that is killed anywhere leaves each tenant at one
//! version or another and the next run goes on from there. Tenants are claimed with `FOR UPDATE SKIP LOCKED`, so two
//! runs share the work. One bad tenant does not stop the others: the tenants of a failing batch are tried one by one,
//! and who still fails is marked and reported. Before it looks at any tenant, a run says at which version tenants are
//! built from now on ([`target`]).

use std::time::{Duration, Instant};

use bulkhead_domain::{TenantId, backoff};
use bulkhead_telemetry::metrics::DbFailure;
use diesel::{migration::Migration, pg::Pg};
use diesel_async::{
    AsyncPgConnection, SimpleAsyncConnection, async_connection_wrapper::AsyncConnectionWrapper,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

pub use self::tenants::migrate_tenants;
pub(crate) use self::tenants::{newest, schema_script};
use crate::engine::{
    connect::Timeouts,
    error::{DbError, DbResult},
    scope::Owner,
};

pub(crate) mod target;
mod tenants;

const PLATFORM_MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/platform");

/// The migrations of a tenant's schema, oldest first.
pub static TENANT_MIGRATIONS: &[TenantMigration] =
    include!(concat!(env!("OUT_DIR"), "/tenant_migrations.rs"));

/// Names the advisory lock that keeps two runs of the platform's set apart.
pub(crate) const PLATFORM_LOCK: i64 = 0x6275_6c6b_6d69_6772;

/// Names the advisory lock that a migration takes alone to raise the version that tenants are built at, and that the
/// building of a tenant shares: no tenant is left behind at the version before.
pub(crate) const FLEET_LOCK: i64 = 0x6275_6c6b_666c_6565;

/// How often a tenant, or the platform, whose tables are in use is tried again.
const ATTEMPTS: u32 = 6;

/// One step of a tenant's schema.
#[derive(Clone, Copy, Debug)]
pub struct TenantMigration {
    /// The digits of its date and time, which sort as text.
    pub version: &'static str,
    /// The name of its directory.
    pub name: &'static str,
    /// SQL to run in the tenant's schema; `:"tenant"` stands for the tenant's role.
    pub up: &'static str,
}

/// How to migrate.
#[derive(Clone, Copy, Debug)]
pub struct MigrateOptions {
    /// Transactions side by side, as far as the pool has connections.
    pub connections: usize,
    /// Tenants in one transaction. Each locks its tables until the end, so this also bounds how much of
    /// `max_locks_per_transaction` a migration needs.
    pub batch: i64,
    /// How long a statement may wait for a table that is in use, in milliseconds. Whoever queues behind it waits as
    /// long, so it is short, and the tenant is tried again later.
    pub lock_ms: u32,
    /// How long a statement may take, in milliseconds.
    pub statement_ms: u32,
}

impl Default for MigrateOptions {
    fn default() -> Self {
        Self { connections: 4, batch: 20, lock_ms: 1_000, statement_ms: 60_000 }
    }
}

impl MigrateOptions {
    const fn timeouts(&self) -> Timeouts {
        Timeouts { statement_ms: self.statement_ms, lock_ms: self.lock_ms, idle_ms: 60_000 }
    }
}

/// What a run tells while it works.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A migration of the platform was applied.
    Platform(&'a str),
    /// How many tenants are to be migrated.
    Pending(usize),
    /// A tenant has reached the newest version.
    Migrated(TenantId),
    /// A tenant could not be migrated; its schema is as it was.
    Failed(TenantId, &'a str),
}

/// What a run has done.
#[derive(Clone, Debug, Default)]
pub struct MigrationReport {
    /// The migrations of the platform that were applied.
    pub platform_applied: Vec<String>,
    /// Tenants that were brought to the newest version.
    pub migrated: usize,
    /// Tenants that could not be, and why.
    pub failed: Vec<(TenantId, String)>,
    /// Tenants that had the newest version already.
    pub already: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// Hears of progress.
pub type Listener<'a> = &'a (dyn Fn(Progress<'_>) + Send + Sync);

/// Migrates the platform, then the tenants. `Err` means that the run was cut short and should be repeated; tenants that
/// failed by themselves are in the report.
pub async fn migrate(
    owner: &Owner,
    options: &MigrateOptions,
    listener: Listener<'_>,
) -> DbResult<MigrationReport> {
    let started = Instant::now();
    let platform_applied = migrate_platform(owner, options).await?;
    for name in &platform_applied {
        listener(Progress::Platform(name));
    }
    let tenants = migrate_tenants(owner, TENANT_MIGRATIONS, options, listener).await?;
    Ok(MigrationReport { platform_applied, elapsed: started.elapsed(), ..tenants })
}

/// Applies what is pending of the platform's set; the names of what was applied.
pub async fn migrate_platform(owner: &Owner, options: &MigrateOptions) -> DbResult<Vec<String>> {
    let mut applied = Vec::new();
    for attempt in 1.. {
        match with_harness(owner, options, apply_pending).await {
            Ok((names, outcome)) => {
                applied.extend(names);
                match outcome {
                    Err(error) if attempt < ATTEMPTS && is_lock_timeout(&error) => pause(attempt).await,
                    outcome => return outcome.map(|()| applied),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(applied)
}

/// Takes the newest migration of the platform back; its name.
pub async fn revert_platform_once(owner: &Owner) -> DbResult<String> {
    with_harness(owner, &MigrateOptions::default(), |harness| {
        let version = harness.revert_last_migration(PLATFORM_MIGRATIONS).map_err(|error| setup(&*error))?;
        Ok(version.to_string())
    })
    .await?
}

type Harness = AsyncConnectionWrapper<AsyncPgConnection>;

/// Runs blocking work with the harness under the platform's lock. diesel's own asynchronous harness would need a
/// multi-threaded runtime; a blocking thread does not.
async fn with_harness<T: Send + 'static>(
    owner: &Owner,
    options: &MigrateOptions,
    work: impl FnOnce(&mut Harness) -> T + Send + 'static,
) -> DbResult<T> {
    let mut pg = owner.session().await?;
    // Another run may take minutes; its tables are waited for only briefly.
    let lock = format!(
        "SET lock_timeout = '10min'; SELECT pg_advisory_lock({PLATFORM_LOCK}); SET lock_timeout = {}",
        options.lock_ms
    );
    pg.batch_execute(&lock).await?;
    tokio::task::spawn_blocking(move || work(&mut Harness::from(pg)))
        .await
        .map_err(|panicked| DbError::Setup(panicked.to_string()))
}

/// What was applied, and whether that was everything.
fn apply_pending(harness: &mut Harness) -> (Vec<String>, DbResult<()>) {
    let mut applied = Vec::new();
    let outcome =
        MigrationHarness::<Pg>::pending_migrations(harness, PLATFORM_MIGRATIONS).and_then(|pending| {
            for migration in pending {
                harness.run_migration(&migration)?;
                applied.push(migration.name().to_string());
            }
            Ok(())
        });
    (applied, outcome.map_err(|error| setup(&*error)))
}

fn setup(error: &(dyn std::error::Error + Send + Sync)) -> DbError {
    DbError::Setup(error.to_string())
}

/// Whether a run cannot go on: the server is away or takes no writes, rather than one tenant's schema in the way. Memory is
/// not among it: twenty tenants at once may lock more than there is room for, where one would not.
const fn is_fatal(error: &DbError) -> bool {
    match error {
        DbError::Unavailable(_) | DbError::Busy | DbError::Timeout => true,
        DbError::Refused { why, .. } => !matches!(why, DbFailure::OutOfMemory),
        _ => false,
    }
}

fn is_lock_timeout(error: &DbError) -> bool {
    matches!(error, DbError::Setup(why) if why.contains("due to lock timeout"))
}

/// Jittered, and longer each time: about 200 ms after the first attempt, then up to 3.2 s.
async fn pause(attempt: u32) {
    let (first, longest) = (Duration::from_millis(100), Duration::from_millis(3_200));
    tokio::time::sleep(backoff::pause(first, longest, attempt, rand::random())).await;
}
