//! What operators and the machinery did. Rows are only ever added.

use diesel::prelude::*;

use crate::{
    engine::{
        error::DbResult,
        scope::{OwnerTx, PlatformTx},
        transaction::Tx,
    },
    schema::platform::audit_log,
    tenant::audit::Entry,
};

/// Adds an entry.
pub async fn record(tx: &mut PlatformTx, entry: &Entry<'_>) -> DbResult<()> {
    record_in(&mut tx.tx, entry).await
}

/// [`record`] for what needs the owner of all schemas.
pub(crate) async fn record_as_owner(tx: &mut OwnerTx, entry: &Entry<'_>) -> DbResult<()> {
    record_in(&mut tx.tx, entry).await
}

async fn record_in(tx: &mut Tx, entry: &Entry<'_>) -> DbResult<()> {
    let row = (
        audit_log::id.eq(entry.mint_id()),
        audit_log::at.eq(entry.at),
        audit_log::actor.eq(entry.actor),
        audit_log::action.eq(entry.action),
        audit_log::target.eq(entry.target),
        audit_log::request_id.eq(entry.request_id),
        audit_log::changes.eq(&entry.changes),
        audit_log::act.eq(entry.act),
        audit_log::address.eq(entry.address),
    );
    tx.execute(diesel::insert_into(audit_log::table).values(row)).await?;
    Ok(())
}
