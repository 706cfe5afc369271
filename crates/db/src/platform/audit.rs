//! What operators did. Rows are only ever added.

use diesel::prelude::*;

use crate::{error::DbResult, schema::platform::audit_log, scope::PlatformTx, tenant::audit::Entry};

/// Adds an entry.
pub async fn record(tx: &mut PlatformTx, entry: &Entry<'_>) -> DbResult<()> {
    let row = (
        audit_log::id.eq(entry.mint_id()),
        audit_log::at.eq(entry.at),
        audit_log::actor.eq(entry.actor),
        audit_log::action.eq(entry.action),
        audit_log::target.eq(entry.target),
        audit_log::request_id.eq(entry.request_id),
        audit_log::changes.eq(&entry.changes),
    );
    tx.tx.execute(diesel::insert_into(audit_log::table).values(row)).await?;
    Ok(())
}
