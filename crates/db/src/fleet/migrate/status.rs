//! Whether the database was migrated for a program, as a program that serves sees it: through the platform's role, and in a
//! moment.

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Text},
};

use super::set::Sets;
use crate::engine::{
    error::DbResult,
    scope::{Owner, PlatformTx},
};

/// How a program's sets stand to what tenants are to have. Each migration as its set and its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The program has them, and tenants are built without them: `bulkhead migrate` has not run yet.
    pub missing: Vec<String>,
    /// Tenants are built with them, and the program does not have them: it is older than the one that has migrated, or an
    /// extension was removed.
    pub foreign: Vec<String>,
    /// No run of `bulkhead migrate` of a program with these very migrations, the platform's among them, has come to its end.
    pub unfinished: bool,
}

#[derive(QueryableByName)]
struct There {
    #[diesel(sql_type = Bool)]
    there: bool,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    set_name: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Text)]
    name: String,
}

async fn is_there(tx: &mut PlatformTx, table: &str) -> DbResult<bool> {
    let query = diesel::sql_query("SELECT to_regclass($1) IS NOT NULL AS there");
    let there: There = tx.tx.one(query.bind::<Text, _>(table)).await?;
    Ok(there.there)
}

async fn is_finished(tx: &mut PlatformTx, sets: &Sets) -> DbResult<bool> {
    if !is_there(tx, "migration_runs").await? {
        return Ok(false);
    }
    let query = diesel::sql_query(
        "SELECT EXISTS (SELECT FROM migration_runs \
         WHERE program = encode(sha256(convert_to($1, 'UTF8')), 'hex')) AS there",
    );
    let there: There = tx.tx.one(query.bind::<Text, _>(sets.text())).await?;
    Ok(there.there)
}

/// Writes down that a run has come to its end for a program with these sets: what its tables are and what its processes look up
/// is there. Tenants that have failed by themselves are no reason not to.
pub async fn finish(owner: &Owner, sets: &Sets) -> DbResult<()> {
    let done = diesel::sql_query(
        "INSERT INTO migration_runs (program, finished_at) VALUES (encode(sha256(convert_to($1, 'UTF8')), 'hex'), now()) \
         ON CONFLICT (program) DO UPDATE SET finished_at = excluded.finished_at",
    )
    .bind::<Text, _>(sets.text());
    owner.write(async |tx| tx.tx.execute(done).await).await?;
    Ok(())
}

/// Compares these sets with what tenants are to have. A database that no program has migrated lacks all of them.
pub async fn status(tx: &mut PlatformTx, sets: &Sets) -> DbResult<Status> {
    let wanted: Vec<Row> = if is_there(tx, "fleet_target").await? {
        let query = "SELECT set_name, version, name FROM fleet_migrations, fleet_target WHERE wanted @> id \
                     ORDER BY place, set_name, version";
        tx.tx.load(diesel::sql_query(query)).await?
    } else {
        Vec::new()
    };
    let is_wanted =
        |set: &str, version| wanted.iter().any(|row| row.set_name == set && row.version == version);
    let is_own = |row: &Row| {
        sets.migrations().any(|(set, migration)| row.set_name == set && row.version == migration.version())
    };
    Ok(Status {
        unfinished: !is_finished(tx, sets).await?,
        missing: sets
            .migrations()
            .filter(|(set, migration)| !is_wanted(set, migration.version()))
            .map(|(set, migration)| format!("{set}/{}", migration.name()))
            .collect(),
        foreign: wanted
            .iter()
            .filter(|row| !is_own(row))
            .map(|row| format!("{}/{}", row.set_name, row.name))
            .collect(),
    })
}
