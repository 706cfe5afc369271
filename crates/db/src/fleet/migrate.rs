//! Brings the platform's schemas, and then every tenant's, to the newest version.
//!
//! The platform's migrations run through diesel's harness. A tenant's run as text, of all sets and each in a message of its
//! own, up to [`MigrateOptions::batch`] tenants in one transaction, several transactions side by side. Which migrations a
//! tenant has is recorded in the transaction that changes its schema, one by one and not as the newest of them: one that is
//! dated before others that a tenant has is applied all the same, and a run that is killed anywhere leaves a state from which
//! the next run goes on. Tenants are claimed with `FOR UPDATE SKIP LOCKED`, so two runs share the work. One bad tenant does not
//! stop the others: the tenants of a failing batch are tried one by one, and those that still fail are marked and reported.
//!
//! | file | what it owns |
//! |---|---|
//! | `set.rs` | migrations and their lists, as they are compiled in |
//! | `ledger.rs`, `ids.rs` | what a database has met of them, what tenants are to have, and how they are built from it |
//! | `change.rs` | a migration that is put right or withdrawn while no tenant has it |
//! | `register.rs` | entering a program's migrations there, before any tenant is looked at |
//! | `split.rs` | the way of the table `resources` out of the core's set, once in each database of before |
//! | `tenants.rs` | the run over the tenants |
//! | `plan.rs`, `status.rs` | what a run would do, and whether a program's migrations were run, without changing anything |
//! | `platform.rs` | the platform's own schemas |
//! | `repeatable.rs` | the functions and views of gate, whose texts are run again when they change |
//!
//! Rejected: a row for each migration of each tenant (ten thousand tenants and sixty migrations are 600,000 rows that a run
//! with nothing to do would have to join), the names as an array (a value of kilobytes for each tenant), one version for each
//! set (it hides what was slipped in below, as one version for all did).

use std::time::{Duration, Instant};

use bulkhead_domain::{TenantId, backoff};
use bulkhead_telemetry::metrics::DbFailure;

#[cfg(test)]
pub(crate) use self::platform::PLATFORM_LOCK;
pub(crate) use self::{
    change::{Correction, corrections},
    ids::Ids,
    ledger::{Blueprint, Ledger, Step},
    plan::pending_platform,
    register::LEDGER_VERSION,
};
pub use self::{
    change::{Withdrawn, withdraw},
    plan::{Pending, Plan, plan},
    platform::{migrate_platform, revert_platform_once},
    register::forget,
    set::{CORE, Migration, MigrationSet, Misfit, Sets, check},
    split::RESOURCES,
    status::{Status, finish, status},
    tenants::migrate_tenants,
};
use crate::engine::{
    connect::Timeouts,
    error::{DbError, DbResult},
    scope::Owner,
};

mod change;
mod ids;
mod ledger;
mod plan;
mod platform;
mod register;
pub(crate) mod repeatable;
mod set;
mod split;
mod status;
mod tenants;

/// Names the advisory lock that a migration takes exclusively to raise what tenants are built with, and that the
/// building of a tenant takes shared. So the migration sees every tenant that was built with what was wanted before,
/// and leaves none of them behind.
pub(crate) const FLEET_LOCK: i64 = 0x6275_6c6b_666c_6565;

/// How often a tenant, or the platform, whose tables are in use is tried again.
const ATTEMPTS: u32 = 6;

/// How to migrate.
#[derive(Clone, Copy, Debug)]
pub struct MigrateOptions {
    /// Transactions side by side, as far as the pool has connections.
    pub connections: usize,
    /// Tenants in one transaction. Each locks its tables until the end, so this also bounds how much of
    /// `max_locks_per_transaction` a migration needs.
    pub batch: i64,
    /// How long a statement may wait for a table that is in use, in milliseconds. Requests that queue behind the
    /// statement wait as long, so the time is short, and the tenant is tried again later.
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
    /// What there is to do; the first that is told.
    Plan(&'a Plan),
    /// Another run is at the platform's schemas, and this one waits until it has ended.
    Waiting,
    /// A migration of the platform was applied.
    Platform(&'a str),
    /// How many tenants are to be migrated.
    Pending(usize),
    /// A tenant has got all that it lacked.
    Migrated(TenantId),
    /// A tenant could not be migrated; its schema is as it was.
    Failed(TenantId, &'a str),
}

/// What a run has done.
#[derive(Clone, Debug, Default)]
pub struct MigrationReport {
    /// The migrations of the platform that were applied.
    pub platform_applied: Vec<String>,
    /// Tenants that got what they lacked.
    pub migrated: usize,
    /// Tenants that could not be, and why.
    pub failed: Vec<(TenantId, String)>,
    /// Tenants that lacked nothing.
    pub already: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// Is called with the progress of a run.
pub type Listener<'a> = &'a (dyn Fn(Progress<'_>) + Send + Sync);

/// Migrates the platform, then the tenants. `Err` means that the run was cut short and should be repeated; tenants that
/// failed by themselves are in the report.
pub async fn migrate(
    owner: &Owner,
    sets: &Sets,
    options: &MigrateOptions,
    listener: Listener<'_>,
) -> DbResult<MigrationReport> {
    let started = Instant::now();
    let plan = plan(owner, sets).await?;
    listener(Progress::Plan(&plan));
    if plan.is_empty() {
        let already = plan.up_to_date;
        owner.write(change::clear_marks).await?;
        return Ok(MigrationReport { already, elapsed: started.elapsed(), ..MigrationReport::default() });
    }
    let mut platform_applied = migrate_platform(owner, options, listener).await?;
    platform_applied.extend(platform::migrate_extensions(owner, sets, options, listener).await?);
    for name in &platform_applied {
        listener(Progress::Platform(name));
    }
    let tenants = migrate_tenants(owner, sets, options, listener).await?;
    Ok(MigrationReport { platform_applied, elapsed: started.elapsed(), ..tenants })
}

/// Whether a run cannot go on: the server is away or takes no writes, so the failure is not that of one tenant's
/// schema. A lack of memory does not end a run: twenty tenants at once may lock more than there is room for, where one
/// would not.
const fn is_fatal(error: &DbError) -> bool {
    match error {
        DbError::Unavailable(_) | DbError::Busy | DbError::Timeout | DbError::Outrun => true,
        DbError::Refused { why, .. } => !matches!(why, DbFailure::OutOfMemory),
        _ => false,
    }
}

/// Jittered, and longer each time: about 200 ms after the first attempt, then up to 3.2 s.
async fn pause(attempt: u32) {
    let (first, longest) = (Duration::from_millis(100), Duration::from_millis(3_200));
    tokio::time::sleep(backoff::pause(first, longest, attempt, rand::random())).await;
}
