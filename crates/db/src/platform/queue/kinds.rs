//! Which kinds of jobs there are.
//!
//! The list is the programs': `migrate` writes the kinds of the program that it belongs to into `platform.job_kinds`. Nothing
//! is ever deleted there: jobs of a kind that this program does not know wait for one that does.

use diesel::sql_types::{Array, Bool, Text};

use crate::engine::{
    error::DbResult,
    scope::{Owner, OwnerTx},
};

/// A kind of job, as programs declare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobKind {
    /// Its name.
    pub name: &'static str,
    /// Whether tenants' transactions may enqueue it.
    pub by_tenants: bool,
}

/// Declares kinds: those that are new are added, and those that tenants may enqueue now, or may not any more, are changed.
/// How many were.
pub async fn declare(owner: &Owner, kinds: &[JobKind]) -> DbResult<usize> {
    let mut kinds = kinds.to_vec();
    // Two programs that migrate at the same time lock the rows in one order.
    kinds.sort_unstable_by_key(|kind| kind.name);
    let (names, by_tenants): (Vec<&str>, Vec<bool>) =
        kinds.iter().map(|kind| (kind.name, kind.by_tenants)).unzip();
    let statement = diesel::sql_query(
        "INSERT INTO job_kinds (kind, by_tenants) SELECT * FROM unnest($1, $2) \
         ON CONFLICT (kind) DO UPDATE SET by_tenants = excluded.by_tenants \
         WHERE job_kinds.by_tenants IS DISTINCT FROM excluded.by_tenants",
    )
    .bind::<Array<Text>, _>(names)
    .bind::<Array<Bool>, _>(by_tenants);
    owner.write(async |tx: &mut OwnerTx| tx.tx.execute(statement).await).await
}
