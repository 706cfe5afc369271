//! Sessions: one login of one person, kept alive by refresh tokens that are replaced each time they are used.
//!
//! Every time in them is the database's, and so is the time that a token counts from: it is taken in a statement that
//! begins when the locks which prove the token are held. Lock the person before the session: whoever removes a person
//! does it in that order.

use bulkhead_domain::{SessionId, UserId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use std::fmt;

use crate::{
    error::DbResult,
    schema::{clock_timestamp, tenant::sessions},
    scope::TenantTx,
};

/// A session whose token was replaced.
#[derive(Clone, Copy, Debug, Queryable)]
pub struct Rotated {
    /// When: what is proven by the token that was in force counts from here.
    pub at: DateTime<Utc>,
    /// When the session ends by itself.
    pub expires_at: DateTime<Utc>,
}

/// A session's row, locked until the transaction ends.
#[derive(Clone, Queryable)]
pub struct Locked {
    /// HMAC-SHA-256 of the token in force.
    pub token_mac: Vec<u8>,
    /// HMAC-SHA-256 of the token that was in force before, if there was one.
    pub previous_mac: Option<Vec<u8>>,
    /// When the token in force replaced it.
    pub rotated_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was ended.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The time; before a wait for the row's lock, after every lock that was taken earlier.
    pub now: DateTime<Utc>,
}

/// HMACs stay out of logs.
impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked")
    }
}

/// Opens a session with its first refresh token; when.
pub async fn insert(
    tx: &mut TenantTx,
    id: SessionId,
    user: UserId,
    token_mac: &[u8],
    expires_at: DateTime<Utc>,
) -> DbResult<DateTime<Utc>> {
    let row = (
        sessions::id.eq(id.uuid()),
        sessions::user_id.eq(user.uuid()),
        sessions::token_mac.eq(token_mac),
        sessions::rotated_at.eq(clock_timestamp()),
        sessions::created_at.eq(clock_timestamp()),
        sessions::expires_at.eq(expires_at),
    );
    tx.tx.one(diesel::insert_into(sessions::table).values(row).returning(sessions::created_at)).await
}

/// Replaces the token in force; `None` when `current` is not that, or the session has ended. One statement, so that of
/// two callers with the same token exactly one replaces it.
pub async fn rotate(
    tx: &mut TenantTx,
    id: SessionId,
    current: &[u8],
    next: &[u8],
) -> DbResult<Option<Rotated>> {
    let row = sessions::table
        .filter(sessions::id.eq(id.uuid()))
        .filter(sessions::token_mac.eq(current))
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(clock_timestamp()));
    let change = (
        sessions::previous_mac.eq(current),
        sessions::token_mac.eq(next),
        sessions::rotated_at.eq(clock_timestamp()),
    );
    let rotated = diesel::update(row).set(change).returning((sessions::rotated_at, sessions::expires_at));
    tx.tx.first(rotated).await
}

/// The session, locked until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: SessionId) -> DbResult<Option<Locked>> {
    let columns = (
        sessions::token_mac,
        sessions::previous_mac,
        sessions::rotated_at,
        sessions::expires_at,
        sessions::revoked_at,
        clock_timestamp(),
    );
    tx.tx.first(sessions::table.find(id.uuid()).select(columns).for_no_key_update()).await
}

/// Ends a session; whether it was alive. Call `revocations::revoke` in the same transaction, so that nodes that have
/// cached its tokens hear of it.
pub async fn revoke(tx: &mut TenantTx, id: SessionId) -> DbResult<bool> {
    let row = sessions::table.filter(sessions::id.eq(id.uuid())).filter(sessions::revoked_at.is_null());
    Ok(tx.tx.execute(diesel::update(row).set(sessions::revoked_at.eq(clock_timestamp().nullable()))).await?
        > 0)
}
