//! How many mails a tenant has sent in this hour.

use diesel::{
    QueryableByName,
    sql_types::{Bool, Integer},
};

use crate::engine::{error::DbResult, scope::TenantTx};

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

/// Counts a mail that this transaction asks for, unless the tenant has sent `most` in this hour; whether it was counted. Other
/// transactions of the tenant that ask for a mail wait until this one has ended.
pub async fn take(tx: &mut TenantTx, most: u32) -> DbResult<bool> {
    let most = i32::try_from(most).unwrap_or(i32::MAX);
    let call = diesel::sql_query("SELECT gate.take_mail($1) AS taken").bind::<Integer, _>(most);
    let row: Taken = tx.tx.one(call).await?;
    Ok(row.taken)
}
