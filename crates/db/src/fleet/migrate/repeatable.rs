//! Functions and views of the platform's door, each as one text that is run again when it changes.
//!
//! A dated migration that changes a function copies all of it, and then it has to be found out which copy is in force. Here the
//! text in force is the file of its name. `migrate` runs the texts, all of them in one transaction, when the digest of one
//! differs from the one that was run last, or when one was removed.
//!
//! A program that is older than the one that has migrated leaves the texts as they are, and says so. It is older when it does
//! not know the newest of the platform's migrations, or when the database has a later generation of the texts: the length of
//! `repeatable/generations.txt`, which has the digest of all texts for each release of them, and to which a line is added when
//! a text changes. Within one generation the program's own texts are right, so that a text may be written in many steps.
//!
//! A dated migration neither makes nor calls what is here. One that takes away a column that a view shows drops the view first.
//! Going back a migration drops everything here in the same transaction; the next `migrate` puts it back. Rejected: the digest
//! in a comment on each object (a dump that leaves comments out forgets it), applying a text alone (a view that others stand
//! on), the digests of `repeatable/generations.txt` instead of its length (texts of between two releases are in no list, and
//! the next ones would leave them alone).

use diesel::{
    QueryableByName,
    sql_types::{Array, Bool, Integer, Text},
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
    "announce_change",
    "allow_impersonation",
    "count_usage",
    "take_mail",
    "jobs",
    "usage_hours",
    "usage_days",
    "request_minutes",
    "scaling_decisions",
    "tenant_profile",
    "plan_limits",
    "tenant_settings",
    "meters",
    "audit_links",
    "audit_chain",
    "identity_providers",
    "identity_provider_tenants",
    "shared_identity_providers",
];

/// The digest of all texts as each generation has them, from the first on; a line for each.
const GENERATIONS: &str = include_str!("repeatable/generations.txt");

/// Which generation the texts of this program are.
fn generation() -> i32 {
    i32::try_from(GENERATIONS.lines().count()).unwrap_or(i32::MAX)
}

/// Drops what is in the schema `gate`, and forgets that it was made.
pub(super) const DROP: &str = include_str!("repeatable/drop.sql");

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    answer: bool,
}

/// How the texts of this program stand to those that were run last.
pub(crate) enum Texts {
    /// Those of a newer program were run. They stay.
    Newer,
    /// These are to be run, or were removed and are to be dropped; none when all are as they should be.
    Pending(Vec<String>),
}

/// Compares the texts. The table of what was run must be there as the platform's migrations of this program leave it.
pub(crate) async fn compare(tx: &mut OwnerTx) -> DbResult<Texts> {
    if is_older(tx).await? {
        return Ok(Texts::Newer);
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
    Ok(Texts::Pending(rows.into_iter().map(|row| row.name).collect()))
}

/// What became of a try to run the texts.
pub(super) enum Applied {
    /// They are as this program has them, or a newer program's.
    Done,
    /// Another run has the platform's lock; nothing was done.
    Busy,
}

/// Runs all texts when one of them is pending. The platform's lock is not waited for: a statement that waits has a time-out,
/// and a run of another program may take longer.
pub(super) async fn apply(tx: &mut OwnerTx) -> DbResult<Applied> {
    let lock = format!("SELECT pg_try_advisory_xact_lock({PLATFORM_LOCK}) AS answer");
    let Answer { answer: is_ours } = tx.tx.one(diesel::sql_query(lock)).await?;
    if !is_ours {
        return Ok(Applied::Busy);
    }
    let pending = match compare(tx).await? {
        Texts::Pending(pending) if !pending.is_empty() => pending,
        Texts::Pending(_) | Texts::Newer => return Ok(Applied::Done),
    };
    drop_removed(tx, &pending).await?;
    for one in GATE {
        tx.tx.batch(one.sql).await?;
    }
    let ran = diesel::sql_query(
        "INSERT INTO repeatables (name, digest, generation) \
         SELECT name, encode(sha256(convert_to(replace(sql, E'\\r\\n', E'\\n'), 'UTF8')), 'hex'), $3 \
         FROM unnest($1, $2) AS own (name, sql) \
         ON CONFLICT (name) DO UPDATE \
         SET digest = excluded.digest, applied_at = excluded.applied_at, generation = excluded.generation",
    );
    let (names, texts): (Vec<&str>, Vec<&str>) = GATE.iter().map(|one| (one.name, one.sql)).unzip();
    let ran = ran.bind::<Array<Text>, _>(names).bind::<Array<Text>, _>(texts);
    tx.tx.execute(ran.bind::<Integer, _>(generation())).await?;
    Ok(Applied::Done)
}

/// Drops what the removed ones among these texts have made. Without CASCADE: what stands on one, of an extension's for
/// instance, is told by PostgreSQL, and the run fails.
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

/// Whether the database has a migration of the platform that this program does not know, or texts of a later generation.
async fn is_older(tx: &mut OwnerTx) -> DbResult<bool> {
    let query = diesel::sql_query(
        "SELECT EXISTS (SELECT FROM __diesel_schema_migrations WHERE version <> ALL ($1::text[])) \
             OR EXISTS (SELECT FROM repeatables WHERE generation > $2) AS answer",
    );
    let versions: Vec<String> = PLATFORM_MIGRATIONS.iter().map(|one| one.version().to_string()).collect();
    let query = query.bind::<Array<Text>, _>(versions).bind::<Integer, _>(generation());
    let Answer { answer } = tx.tx.one(query).await?;
    Ok(answer)
}
