//! The platform's own schemas, through diesel's harness.
//!
//! The harness keeps its own table of what was applied, and knows a migration by the digits of its name.

use std::{
    fmt,
    time::{Duration, Instant},
};

use diesel::{
    QueryableByName,
    connection::{BoxableConnection, SimpleConnection},
    migration::{
        Migration as DieselMigration, MigrationMetadata, MigrationName, MigrationSource, MigrationVersion,
        Result as MigrationResult,
    },
    pg::Pg,
    sql_types::Bool,
};
use diesel_async::{
    AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection, async_connection_wrapper::AsyncConnectionWrapper,
};
use diesel_migrations::MigrationHarness;

use super::{
    ATTEMPTS, Listener, MigrateOptions, Migration, MigrationSet, Progress, Sets, is_fatal, pause,
    repeatable::{self, Applied},
    set::PLATFORM_MIGRATIONS,
};
use crate::engine::{
    error::{DbError, DbResult},
    scope::Owner,
};

/// Names the advisory lock that keeps two runs of the platform's set apart.
pub(crate) const PLATFORM_LOCK: i64 = 0x6275_6c6b_6d69_6772;

/// How long a run waits for another one that has the platform's lock.
const PATIENCE: Duration = Duration::from_mins(10);

/// Applies what is pending of the platform's set, and then runs the texts of functions and views that have changed; the names
/// of the migrations that were applied.
pub async fn migrate_platform(
    owner: &Owner,
    options: &MigrateOptions,
    listener: Listener<'_>,
) -> DbResult<Vec<String>> {
    let applied = apply(owner, options, None, PLATFORM_MIGRATIONS, listener).await?;
    apply_repeatables(owner, options, listener).await?;
    Ok(applied)
}

/// The schema of a set's tables across tenants.
pub(super) fn schema_of(set: &MigrationSet) -> String {
    format!("x_{}", set.name())
}

/// Applies what is pending of the tables across tenants that sets have; what was applied, as set and name. Each set has its own
/// record of what was, in its schema.
pub(super) async fn migrate_extensions(
    owner: &Owner,
    sets: &Sets,
    options: &MigrateOptions,
    listener: Listener<'_>,
) -> DbResult<Vec<String>> {
    let mut applied = Vec::new();
    for set in sets.iter().filter(|set| !set.platform().is_empty()) {
        let names = apply(owner, options, Some(&schema_of(set)), set.platform(), listener).await?;
        applied.extend(names.into_iter().map(|name| format!("{}/{name}", set.name())));
    }
    Ok(applied)
}

/// Applies what is pending of a list, in a schema of its own or in the platform's.
async fn apply(
    owner: &Owner,
    options: &MigrateOptions,
    schema: Option<&str>,
    list: &'static [Migration],
    listener: Listener<'_>,
) -> DbResult<Vec<String>> {
    let mut applied = Vec::new();
    for attempt in 1.. {
        let work = move |harness: &mut Harness| apply_pending(harness, list);
        let (names, outcome) = with_harness(owner, options, schema, listener, work).await?;
        applied.extend(names);
        match outcome {
            Err(error) if attempt < ATTEMPTS && is_lock_timeout(&error) => pause(attempt).await,
            outcome => {
                outcome?;
                break;
            }
        }
    }
    Ok(applied)
}

/// A function or a view that is in use is tried again, and another run is waited for.
async fn apply_repeatables(owner: &Owner, options: &MigrateOptions, listener: Listener<'_>) -> DbResult<()> {
    let owner = owner.with_timeouts(options.timeouts());
    let began = Instant::now();
    let (mut in_use, mut busy) = (0, 0);
    loop {
        match owner.write(repeatable::apply).await {
            Ok(Applied::Done) => return Ok(()),
            Ok(Applied::Busy) if began.elapsed() >= PATIENCE => return Err(waited_in_vain()),
            Ok(Applied::Busy) => {
                if busy == 0 {
                    listener(Progress::Waiting);
                }
                busy += 1;
                pause(busy).await;
            }
            Err(error) if error.is_transient() && !is_fatal(&error) && in_use + 1 < ATTEMPTS => {
                in_use += 1;
                pause(in_use).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Takes the newest migration of the platform back; its version.
pub async fn revert_platform_once(owner: &Owner) -> DbResult<String> {
    let work = |harness: &mut Harness| {
        let version =
            harness.revert_last_migration(List(PLATFORM_MIGRATIONS)).map_err(|error| setup(&*error))?;
        Ok(version.to_string())
    };
    with_harness(owner, &MigrateOptions::default(), None, &|_| {}, work).await?
}

/// A list, for the harness.
struct List(&'static [Migration]);

impl MigrationSource<Pg> for List {
    fn migrations(&self) -> MigrationResult<Vec<Box<dyn DieselMigration<Pg>>>> {
        let step = |migration: &Migration| -> Box<dyn DieselMigration<Pg>> { Box::new(Step(*migration)) };
        Ok(self.0.iter().map(step).collect())
    }
}

/// Takes back that any program's run has ended: each has to migrate before it serves.
const UNFINISHED: &str = "DO $$ BEGIN \
     IF to_regclass('platform.migration_runs') IS NOT NULL THEN DELETE FROM platform.migration_runs; END IF; \
     END $$;";

/// A migration, for the harness.
struct Step(Migration);

impl DieselMigration<Pg> for Step {
    fn run(&self, harness: &mut dyn BoxableConnection<Pg>) -> MigrationResult<()> {
        Ok(harness.batch_execute(self.0.up())?)
    }

    fn revert(&self, harness: &mut dyn BoxableConnection<Pg>) -> MigrationResult<()> {
        // In one transaction with what drops the functions and views that may stand on what goes, and what keeps programs from
        // serving without them. Only the platform's own list is ever reverted. The text is put together from constants of this
        // program.
        Ok(harness.batch_execute(&format!("{}{UNFINISHED}{}", repeatable::DROP, self.0.down()))?)
    }

    fn metadata(&self) -> &dyn MigrationMetadata {
        self
    }

    fn name(&self) -> &dyn MigrationName {
        self
    }
}

/// In a transaction, as the trait has it.
impl MigrationMetadata for Step {}

impl MigrationName for Step {
    fn version(&self) -> MigrationVersion<'_> {
        MigrationVersion::from(self.0.version().to_string())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = Bool)]
    is_ours: bool,
}

type Harness = AsyncConnectionWrapper<AsyncPgConnection>;

/// Runs blocking work with the harness under the platform's lock. diesel's own asynchronous harness would need a
/// multi-threaded runtime; a blocking thread does not.
async fn with_harness<T: Send + 'static>(
    owner: &Owner,
    options: &MigrateOptions,
    schema: Option<&str>,
    listener: Listener<'_>,
    work: impl FnOnce(&mut Harness) -> T + Send + 'static,
) -> DbResult<T> {
    let mut pg = owner.session().await?;
    let lock = format!("SELECT pg_try_advisory_lock({PLATFORM_LOCK}) AS is_ours");
    let Locked { is_ours } = RunQueryDsl::get_result(diesel::sql_query(lock), &mut pg).await?;
    if !is_ours {
        listener(Progress::Waiting);
        let wait =
            format!("SET lock_timeout = '{}s'; SELECT pg_advisory_lock({PLATFORM_LOCK})", PATIENCE.as_secs());
        pg.batch_execute(&wait).await.map_err(|error| match DbError::from(error) {
            DbError::Cancelled(_) => waited_in_vain(),
            error => error,
        })?;
    }
    // Another run may take minutes; the tables that it and others use are waited for only briefly.
    pg.batch_execute(&format!("SET lock_timeout = {}", options.lock_ms)).await?;
    if let Some(schema) = schema {
        // A name cannot be bound. This one is `x_` and a set's name, which is judged at start: a-z, 0-9 and _.
        pg.batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema}; GRANT USAGE ON SCHEMA {schema} TO bulkhead_tenants; SET search_path = {schema}"
        ))
        .await?;
    }
    let blocking = move || {
        let mut harness = Harness::from(pg);
        let done = work(&mut harness);
        // The server sees some time later that the connection is closed, and until then the next step of this run would wait
        // for this one.
        let freed = SimpleConnection::batch_execute(&mut harness, "SELECT pg_advisory_unlock_all()");
        if let Err(error) = freed {
            tracing::debug!(%error, "the platform's lock goes with its connection");
        }
        done
    };
    tokio::task::spawn_blocking(blocking).await.map_err(|panicked| DbError::Setup(panicked.to_string()))
}

/// What was applied, and whether that was everything.
fn apply_pending(harness: &mut Harness, list: &'static [Migration]) -> (Vec<String>, DbResult<()>) {
    let mut applied = Vec::new();
    let outcome = MigrationHarness::<Pg>::pending_migrations(harness, List(list)).and_then(|pending| {
        for migration in pending {
            harness.run_migration(&migration)?;
            applied.push(migration.name().to_string());
        }
        Ok(())
    });
    (applied, outcome.map_err(|error| setup(&*error)))
}

/// Another run has had the platform's lock for as long as this one waits.
fn waited_in_vain() -> DbError {
    DbError::Setup(format!(
        "another run has been at the platform's schemas for {} minutes: run this again when it has ended",
        PATIENCE.as_secs() / 60
    ))
}

fn setup(error: &(dyn std::error::Error + Send + Sync)) -> DbError {
    DbError::Setup(error.to_string())
}

fn is_lock_timeout(error: &DbError) -> bool {
    matches!(error, DbError::Setup(why) if why.contains("due to lock timeout"))
}
