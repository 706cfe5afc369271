//! Sessions of the tenant's people.

use bulkhead_domain::UserId;
use chrono::{DateTime, Utc};

use crate::{engine::scope::TenantTx, sessions::session_queries};

session_queries! {
    TenantTx, crate::schema::tenant::sessions, "sessions", UserId, user_id, "sessions/make_room.sql"
}

/// Notes that the issuer that has opened the session has asked for a second factor.
pub async fn note_factor_at_issuer(tx: &mut TenantTx, id: SessionId) -> DbResult<()> {
    let row = sessions::table.find(id.uuid());
    tx.tx.execute(diesel::update(row).set(sessions::factor_at_issuer.eq(true))).await?;
    Ok(())
}

/// Whether the issuer that has opened the session has asked for a second factor.
pub async fn has_factor_at_issuer(tx: &mut TenantTx, id: SessionId) -> DbResult<bool> {
    let found: Option<bool> =
        tx.tx.first(sessions::table.find(id.uuid()).select(sessions::factor_at_issuer)).await?;
    Ok(found.unwrap_or(false))
}

/// The time by the database's clock, read after all locks that the transaction has taken: what is proven under them counts from
/// here.
pub async fn now(tx: &mut TenantTx) -> DbResult<DateTime<Utc>> {
    tx.tx.one(diesel::select(clock_timestamp())).await
}
