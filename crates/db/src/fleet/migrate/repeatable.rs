//! Functions and views of the platform's door, each as one text that is run again when it changes.
//!
//! A dated migration that changes a function copies all of it, and then it has to be found out which copy is in force. Here the text
//! in force is the file of its name. `migrate` runs the texts, all of them in one transaction, when the digest of one differs from
//! the one that was run last, or when one was removed. A program that does not know the newest of the platform's migrations is older than
//! the one that has migrated, and leaves the texts as they are.
//!
//! A dated migration neither makes nor calls what is here. One that takes away a column that a view shows drops the view first. Going
//! back a migration drops everything here in the same transaction; the next `migrate` puts it back. Rejected: the digest in a
//! comment on each object (a dump that leaves comments out forgets it), applying a text alone (a view that others stand on).

use diesel::{
    QueryableByName,
    sql_types::{Array, Bool, Text},
};

use super::{platform::PLATFORM_LOCK, set::PLATFORM_MIGRATIONS};
use crate::engine::{error::DbResult, scope::OwnerTx};

/// The text of a function or a view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeatable {
    /// The name of its file.
    pub(crate) name: &'static str,
    /// SQL that makes it or changes it into this, with its rights.
    pub(crate) sql: &'static str,
}

macro_rules! repeatables {
    ($($name:literal),+ $(,)?) => {
        &[$(Repeatable {
            name: $name,
            sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/gate/", $name, ".sql")),
        }),+]
    };
}

/// The schema `gate`, in an order in which each finds what it stands on.
pub(crate) const GATE: &[Repeatable] = repeatables![
    "tenant",
    "enqueue_job",
    "finish_job",
    "revoke",
    "count_usage",
    "jobs",
    "usage_hours",
    "usage_days",
    "request_minutes",
    "scaling_decisions",
    "tenant_profile",
    "plan_limits",
    "meters",
];

/// Drops what is in the schema `gate`, and forgets that it was made.
pub(super) const DROP: &str = include_str!("repeatable/drop.sql");

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Bool)]
    known: bool,
}

/// The texts that were not run as they are now, and those that were run and are gone. The table of what was run must be there.
pub(super) async fn pending(tx: &mut OwnerTx) -> DbResult<Vec<String>> {
    if !is_newest(tx).await? {
        return Ok(Vec::new());
    }
    let query = diesel::sql_query(
        "SELECT coalesce(own.name, ran.name) AS name FROM unnest($1, $2) AS own (name, sql) \
         FULL JOIN repeatables ran ON ran.name = own.name \
         WHERE ran.digest IS DISTINCT FROM encode(sha256(convert_to(replace(sql, E'\\r\\n', E'\\n'), 'UTF8')), 'hex') \
         ORDER BY 1",
    );
    let (names, texts): (Vec<&str>, Vec<&str>) = GATE.iter().map(|one| (one.name, one.sql)).unzip();
    let rows: Vec<Name> =
        tx.tx.load(query.bind::<Array<Text>, _>(names).bind::<Array<Text>, _>(texts)).await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// Runs all texts when one of them is pending.
pub(super) async fn apply(tx: &mut OwnerTx) -> DbResult<()> {
    tx.tx.batch(&format!("SELECT pg_advisory_xact_lock({PLATFORM_LOCK})")).await?;
    let pending = pending(tx).await?;
    if pending.is_empty() {
        return Ok(());
    }
    drop_removed(tx, &pending).await?;
    for one in GATE {
        tx.tx.batch(one.sql).await?;
    }
    let ran = diesel::sql_query(
        "INSERT INTO repeatables (name, digest) \
         SELECT name, encode(sha256(convert_to(replace(sql, E'\\r\\n', E'\\n'), 'UTF8')), 'hex') \
         FROM unnest($1, $2) AS own (name, sql) \
         ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, applied_at = excluded.applied_at \
         WHERE repeatables.digest <> excluded.digest",
    );
    let (names, texts): (Vec<&str>, Vec<&str>) = GATE.iter().map(|one| (one.name, one.sql)).unzip();
    tx.tx.execute(ran.bind::<Array<Text>, _>(names).bind::<Array<Text>, _>(texts)).await?;
    Ok(())
}

/// Drops what the removed ones among these texts have made. Without CASCADE: what stands on one, of an extension's for instance, is told
/// by PostgreSQL, and the run fails.
async fn drop_removed(tx: &mut OwnerTx, pending: &[String]) -> DbResult<()> {
    let is_removed = |name: &&String| GATE.iter().all(|one| one.name != **name);
    let removed: Vec<&String> = pending.iter().filter(is_removed).collect();
    if removed.is_empty() {
        return Ok(());
    }
    let statements = diesel::sql_query(
        "SELECT format('DROP VIEW gate.%I', relname) AS name FROM pg_class \
         WHERE relnamespace = to_regnamespace('gate') AND relkind = 'v' AND relname = ANY ($1) \
         UNION ALL SELECT format('DROP ROUTINE %s', oid::regprocedure) FROM pg_proc \
         WHERE pronamespace = to_regnamespace('gate') AND proname = ANY ($1)",
    );
    let statements: Vec<Name> = tx.tx.load(statements.bind::<Array<Text>, _>(removed.clone())).await?;
    for Name { name } in statements {
        tx.tx.batch(&name).await?;
    }
    let forget = diesel::sql_query("DELETE FROM repeatables WHERE name = ANY ($1)");
    tx.tx.execute(forget.bind::<Array<Text>, _>(removed)).await?;
    Ok(())
}

/// Whether this program knows every migration of the platform that the database has.
async fn is_newest(tx: &mut OwnerTx) -> DbResult<bool> {
    let query = diesel::sql_query(
        "SELECT NOT EXISTS (SELECT FROM __diesel_schema_migrations WHERE version <> ALL ($1::text[])) AS known",
    );
    let versions: Vec<String> = PLATFORM_MIGRATIONS.iter().map(|one| one.version().to_string()).collect();
    let Known { known } = tx.tx.one(query.bind::<Array<Text>, _>(versions)).await?;
    Ok(known)
}
