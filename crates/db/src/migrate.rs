//! Brings the platform's schemas, and then every tenant's, to the newest version.
//!
//! The platform's set runs through diesel's harness. A tenant's pending migrations run as text, up to
//! [`MigrateOptions::batch`] tenants in one transaction, several transactions side by side; a tenant's version is
//! recorded in the transaction that changes its schema, so a run that is killed anywhere leaves each tenant at one
//! version or another and the next run goes on from there. Tenants are claimed with `FOR UPDATE SKIP LOCKED`, so two
//! runs share the work. One bad tenant does not stop the others: the tenants of a failing batch are tried one by one,
//! and who still fails is marked and reported.

use std::time::{Duration, Instant};

use bulkhead_domain::{SchemaName, TenantId};
use diesel::{
    QueryableByName,
    migration::Migration,
    pg::Pg,
    sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{
    AsyncPgConnection, SimpleAsyncConnection, async_connection_wrapper::AsyncConnectionWrapper,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use uuid::Uuid;

use crate::{
    error::{DbError, DbResult},
    scope::{LEAVE_SCHEMA, Owner, Timeouts, enter_schema},
};

const PLATFORM_MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/platform");

/// The migrations of a tenant's schema, oldest first.
pub static TENANT_MIGRATIONS: &[TenantMigration] =
    include!(concat!(env!("OUT_DIR"), "/tenant_migrations.rs"));

/// Names the advisory lock that keeps two runs of the platform's set apart.
const PLATFORM_LOCK: i64 = 0x6275_6c6b_6d69_6772;

/// Names the advisory lock that a migration takes alone and the building of a tenant shares, so that no tenant is left
/// behind at the version that an older program has built it with.
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

fn is_lock_timeout(error: &DbError) -> bool {
    matches!(error, DbError::Setup(why) if why.contains("due to lock timeout"))
}

/// Jittered, and longer each time: 100 ms, then up to 3.2 s.
async fn pause(attempt: u32) {
    let limit = Duration::from_millis(100 << attempt.min(5));
    tokio::time::sleep(limit.mul_f64(rand::random_range(0.5..=1.0))).await;
}

#[derive(QueryableByName)]
struct Fleet {
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = BigInt)]
    already: i64,
    #[diesel(sql_type = Timestamptz)]
    at: chrono::DateTime<chrono::Utc>,
}

#[derive(Clone, QueryableByName)]
struct Claimed {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = Text)]
    version: String,
}

/// One run over the tenants.
struct Run<'a> {
    owner: Owner,
    migrations: &'a [TenantMigration],
    newest: &'static str,
    batch: i64,
    /// A tenant that has failed since is not tried again.
    started: chrono::DateTime<chrono::Utc>,
    listener: Listener<'a>,
}

/// Applies what each tenant lacks of `migrations`, oldest first. Does not return before every tenant that needed it
/// was migrated or has failed, whoever did it.
pub async fn migrate_tenants(
    owner: &Owner,
    migrations: &[TenantMigration],
    options: &MigrateOptions,
    listener: Listener<'_>,
) -> DbResult<MigrationReport> {
    let began = Instant::now();
    let newest = newest(migrations);
    let owner = owner.with_timeouts(options.timeouts());
    let fleet = survey(&owner, newest, None).await?;
    let count = |rows: i64| usize::try_from(rows).unwrap_or_default();
    let mut report = MigrationReport { already: count(fleet.already), ..MigrationReport::default() };
    if fleet.pending > 0 {
        listener(Progress::Pending(count(fleet.pending)));
        let workers = options.connections.clamp(1, owner.connections());
        let run = Run { owner, migrations, newest, batch: options.batch, started: fleet.at, listener };
        run.until_done(workers, &mut report).await?;
    }
    report.elapsed = began.elapsed();
    Ok(report)
}

/// The newest version of a set.
pub(crate) fn newest(migrations: &[TenantMigration]) -> &'static str {
    migrations.last().map_or("", |migration| migration.version)
}

/// How many tenants lack something and have not failed since, and how many lack nothing.
async fn survey(
    owner: &Owner,
    newest: &str,
    since: Option<chrono::DateTime<chrono::Utc>>,
) -> DbResult<Fleet> {
    let query = diesel::sql_query(
        "SELECT count(*) FILTER (WHERE version < $1 AND (failed_at < $2) IS NOT FALSE) AS pending, \
         count(*) FILTER (WHERE version >= $1) AS already, now() AS at FROM tenant_schema_versions",
    )
    .bind::<Text, _>(newest)
    .bind::<Nullable<Timestamptz>, _>(since);
    owner.read(async |tx| tx.tx.one(query).await).await
}

/// Whether the run cannot go on: the server is away, rather than one tenant's schema in the way.
const fn is_fatal(error: &DbError) -> bool {
    matches!(error, DbError::Unavailable(_) | DbError::Busy | DbError::Timeout)
}

impl Run<'_> {
    async fn until_done(&self, workers: usize, report: &mut MigrationReport) -> DbResult<()> {
        for round in 0.. {
            let parts = futures::future::try_join_all((0..workers).map(|_| self.work())).await?;
            for part in parts {
                report.migrated += part.migrated;
                report.failed.extend(part.failed);
            }
            self.wait_for_builders().await?;
            if survey(&self.owner, self.newest, Some(self.started)).await?.pending == 0 {
                break;
            }
            // Somebody else's run has claimed them, or an older program was still building them.
            pause(round).await;
        }
        Ok(())
    }

    /// Takes batch after batch, until nothing is left that nobody else has claimed.
    async fn work(&self) -> DbResult<MigrationReport> {
        let mut done = MigrationReport::default();
        let mut busy = Vec::new();
        let mut from = Uuid::nil();
        loop {
            let mut claimed = Vec::new();
            let outcome = self.apply(from, Uuid::max(), self.batch, &mut claimed).await;
            let Some(last) = claimed.last() else {
                outcome?;
                break;
            };
            from = last.tenant_id;
            match outcome {
                Ok(()) => claimed.iter().for_each(|tenant| self.migrated(tenant, &mut done)),
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, tenants = claimed.len(), "a batch failed; its tenants are tried alone");
                    busy.extend(self.apply_each(claimed, false, &mut done).await?);
                }
            }
        }
        for attempt in 1..=ATTEMPTS {
            if busy.is_empty() {
                break;
            }
            pause(attempt).await;
            busy = self.apply_each(busy, attempt == ATTEMPTS, &mut done).await?;
        }
        Ok(done)
    }

    /// Migrates up to `limit` of the tenants after `from` and up to `to` in one transaction, and tells which it has
    /// claimed.
    async fn apply(&self, from: Uuid, to: Uuid, limit: i64, claimed: &mut Vec<Claimed>) -> DbResult<()> {
        self.owner
            .write(async |tx| {
                let claim = diesel::sql_query(
                    "SELECT tenant_id, version FROM tenant_schema_versions \
                     WHERE version < $1 AND (failed_at < $2) IS NOT FALSE AND tenant_id > $3 AND tenant_id <= $4 \
                     ORDER BY tenant_id LIMIT $5 FOR UPDATE SKIP LOCKED",
                )
                .bind::<Text, _>(self.newest)
                .bind::<Timestamptz, _>(self.started)
                .bind::<SqlUuid, _>(from)
                .bind::<SqlUuid, _>(to)
                .bind::<BigInt, _>(limit);
                *claimed = tx.tx.load(claim).await?;
                if claimed.is_empty() { Ok(()) } else { tx.tx.batch(&self.script(claimed)).await }
            })
            .await
    }

    /// Migrates tenants one by one, marks the bad ones, and returns those that are worth another attempt: the ones whose
    /// tables were in use, unless this is the last attempt.
    async fn apply_each(
        &self,
        tenants: Vec<Claimed>,
        last: bool,
        done: &mut MigrationReport,
    ) -> DbResult<Vec<Claimed>> {
        let mut busy = Vec::new();
        for tenant in tenants {
            let mut claimed = Vec::new();
            let before = Uuid::from_u128(tenant.tenant_id.as_u128().saturating_sub(1));
            match self.apply(before, tenant.tenant_id, 1, &mut claimed).await {
                // Somebody else has it.
                Ok(()) if claimed.is_empty() => {}
                Ok(()) => self.migrated(&tenant, done),
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) if error.is_transient() && !last => busy.push(tenant),
                Err(error) => self.failed(&tenant, error.to_string(), done).await?,
            }
        }
        Ok(busy)
    }

    async fn failed(&self, tenant: &Claimed, error: String, done: &mut MigrationReport) -> DbResult<()> {
        let statement = diesel::sql_query(
            "UPDATE tenant_schema_versions SET error = left($1, 2000), failed_at = now() \
             WHERE tenant_id = $2 AND version < $3 AND (failed_at < $4) IS NOT FALSE",
        )
        .bind::<Text, _>(&error)
        .bind::<SqlUuid, _>(tenant.tenant_id)
        .bind::<Text, _>(self.newest)
        .bind::<Timestamptz, _>(self.started);
        if self.owner.write(async |tx| tx.tx.execute(statement).await).await? == 0 {
            // Between the failure and here somebody else has had it, and has told.
            return Ok(());
        }
        let tenant = TenantId::from_uuid(tenant.tenant_id);
        (self.listener)(Progress::Failed(tenant, &error));
        done.failed.push((tenant, error));
        Ok(())
    }

    fn migrated(&self, tenant: &Claimed, done: &mut MigrationReport) {
        done.migrated += 1;
        (self.listener)(Progress::Migrated(TenantId::from_uuid(tenant.tenant_id)));
    }

    /// Everything that a batch runs, as one message.
    fn script(&self, claimed: &[Claimed]) -> String {
        let mut sql = String::new();
        for tenant in claimed {
            let schema = SchemaName::of(TenantId::from_uuid(tenant.tenant_id));
            sql += &schema_script(schema, self.migrations, &tenant.version);
        }
        let ids: Vec<String> = claimed.iter().map(|tenant| format!("'{}'", tenant.tenant_id)).collect();
        sql + &format!(
            "{LEAVE_SCHEMA} UPDATE tenant_schema_versions \
             SET version = '{}', migrated_at = now(), error = NULL, failed_at = NULL WHERE tenant_id IN ({})",
            self.newest,
            ids.join(", ")
        )
    }

    /// Waits until every tenant that was being built when this is called is there to be seen.
    async fn wait_for_builders(&self) -> DbResult<()> {
        let lock = format!("SELECT pg_advisory_xact_lock({FLEET_LOCK})");
        for attempt in 1.. {
            match self.owner.write(async |tx| tx.tx.batch(&lock).await).await {
                Err(error) if error.is_transient() && !is_fatal(&error) && attempt < ATTEMPTS => {
                    pause(attempt).await;
                }
                outcome => return outcome,
            }
        }
        Ok(())
    }
}

/// What a schema at `version` lacks, as SQL that enters the schema first.
pub(crate) fn schema_script(schema: SchemaName, migrations: &[TenantMigration], version: &str) -> String {
    let mut sql = enter_schema(schema);
    for migration in migrations.iter().filter(|migration| migration.version > version) {
        sql.push('\n');
        sql += &migration.up.replace(":\"tenant\"", schema.as_str());
        // Ends a last statement without a semicolon, and a last line that is a comment.
        sql += "\n;\n";
    }
    sql
}
