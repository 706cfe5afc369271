//! Sessions: one login of one person, kept alive by refresh tokens that are replaced each time they are used.

use bulkhead_domain::{SessionId, UserId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::{error::DbResult, schema::tenant::sessions, scope::TenantTx};

/// Opens a session with its first refresh token.
pub async fn insert(
    tx: &mut TenantTx,
    id: SessionId,
    user: UserId,
    token_mac: &[u8],
    at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> DbResult<()> {
    let row = (
        sessions::id.eq(id.uuid()),
        sessions::user_id.eq(user.uuid()),
        sessions::token_mac.eq(token_mac),
        sessions::rotated_at.eq(at),
        sessions::created_at.eq(at),
        sessions::expires_at.eq(expires_at),
    );
    tx.tx.execute(diesel::insert_into(sessions::table).values(row)).await?;
    Ok(())
}

/// Replaces the token in force; whether `current` still was it. One statement, so that of two callers with the same
/// token exactly one gets a successor.
pub async fn rotate(
    tx: &mut TenantTx,
    id: SessionId,
    current: &[u8],
    next: &[u8],
    at: DateTime<Utc>,
) -> DbResult<bool> {
    let row = sessions::table
        .filter(sessions::id.eq(id.uuid()))
        .filter(sessions::token_mac.eq(current))
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(at));
    let change =
        (sessions::previous_mac.eq(current), sessions::token_mac.eq(next), sessions::rotated_at.eq(at));
    Ok(tx.tx.execute(diesel::update(row).set(change)).await? > 0)
}

/// Ends a session; whether it was alive.
pub async fn revoke(tx: &mut TenantTx, id: SessionId, at: DateTime<Utc>) -> DbResult<bool> {
    let row = sessions::table.filter(sessions::id.eq(id.uuid())).filter(sessions::revoked_at.is_null());
    Ok(tx.tx.execute(diesel::update(row).set(sessions::revoked_at.eq(at))).await? > 0)
}
