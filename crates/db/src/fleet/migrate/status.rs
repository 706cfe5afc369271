//! Whether the database was migrated for a program, as a program that serves sees it: through the platform's role, and in a
//! moment.

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Text},
};

use super::set::Sets;
use crate::engine::{error::DbResult, scope::PlatformTx};

/// How a program's sets stand to what tenants are to have. Each migration as its set and its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The program has them, and tenants are built without them: `bulkhead migrate` has not run yet.
    pub missing: Vec<String>,
    /// Tenants are built with them, and the program does not have them: it is older than the one that has migrated, or an
    /// extension was removed.
    pub foreign: Vec<String>,
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

/// Compares these sets with what tenants are to have. A database that no program has migrated lacks all of them.
pub async fn status(tx: &mut PlatformTx, sets: &Sets) -> DbResult<Status> {
    let query = diesel::sql_query("SELECT to_regclass('fleet_target') IS NOT NULL AS there");
    let there: There = tx.tx.one(query).await?;
    let wanted: Vec<Row> = if there.there {
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
