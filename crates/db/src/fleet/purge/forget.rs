//! Rows of a tenant in the tables across tenants that extensions have.
//!
//! Each set removes its own, through the function `forget(uuid, integer)` of its schema: up to so many rows, and how many it
//! has removed. It is called until it returns 0, each time in another transaction, so no statement takes longer because a
//! tenant has many rows. `crates/sqlcheck/src/platform.rs` holds migrations to that. Refuses to go on past a function of
//! another form.

use bulkhead_domain::TenantId;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Integer, Text, Uuid as SqlUuid},
};

use crate::engine::{
    error::{DbError, DbResult},
    scope::OwnerTx,
};

/// Rows that one call of a set's `forget` may remove, with all that they take with them.
const PORTION: i32 = 5_000;

/// What a set has to forget a tenant with.
#[derive(QueryableByName)]
struct Forget {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Bool)]
    fits: bool,
}

#[derive(QueryableByName)]
struct Removed {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// Lets the tables across tenants that extensions have forget up to [`PORTION`] rows of the tenant, each set through its own
/// function. Whether one has: then it is asked again, in another transaction. [`DbError::Setup`] when a set has a function of
/// another form, with which rows would stay that nothing else removes.
pub(super) async fn forget(tx: &mut OwnerTx, tenant: TenantId) -> DbResult<bool> {
    let query = diesel::sql_query(
        "SELECT quote_ident(nspname) AS schema, bool_or( \
             proargtypes = ARRAY['uuid'::regtype::oid, 'integer'::regtype::oid]::oidvector AND prorettype = 'bigint'::regtype) AS fits \
         FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace \
         WHERE starts_with(nspname, 'x_') AND proname = 'forget' GROUP BY nspname ORDER BY nspname",
    );
    let functions: Vec<Forget> = tx.tx.load(query).await?;
    for Forget { schema, fits } in functions {
        if !fits {
            let why = format!("{schema}.forget is not a function of (uuid, integer) that returns a bigint");
            return Err(DbError::Setup(why));
        }
        // The name of a schema cannot be bound; this one is quoted, and from the catalog.
        let call = diesel::sql_query(format!("SELECT coalesce({schema}.forget($1, $2), 0) AS rows"));
        let call = call.bind::<SqlUuid, _>(tenant.uuid()).bind::<Integer, _>(PORTION);
        let Removed { rows } = tx.tx.one(call).await?;
        if rows > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
