//! Operators' sessions. `tenant::sessions` says how the tokens of sessions are proven.

use std::fmt;

use bulkhead_domain::{OperatorId, RoleName, SessionId};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Nullable, Text, Uuid as SqlUuid},
};

use super::operators::read_role;
use crate::{
    engine::{
        error::DbResult,
        page::{Page, PageRequest},
        scope::PlatformTx,
    },
    schema::{
        clock_timestamp,
        platform::{operator_sessions, operators},
    },
    tenant::sessions::{Device, Ended, LivingRow, LivingSession, Locked, MOST, Opened, Rotated},
};

/// What is needed to check an operator's refresh token.
#[derive(Clone)]
pub struct OperatorSession {
    /// The operator whose session it is.
    pub operator: OperatorId,
    /// What they may do now.
    pub role: RoleName,
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
}

impl fmt::Debug for OperatorSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorSession of {}", self.operator)
    }
}

/// Opens a session of this many seconds with its first refresh token.
pub async fn insert(
    tx: &mut PlatformTx,
    id: SessionId,
    operator: OperatorId,
    token_mac: &[u8],
    seconds: i64,
    from: &Device<'_>,
) -> DbResult<Opened> {
    let query = diesel::sql_query(
        "INSERT INTO operator_sessions (id, operator_id, token_mac, rotated_at, created_at, expires_at, user_agent, address) \
         SELECT $1, $2, $3, at, at, at + $4 * interval '1 second', $5, $6 \
         FROM (SELECT clock_timestamp()) AS clock (at) RETURNING created_at AS at, expires_at",
    );
    let query = query.bind::<SqlUuid, _>(id.uuid()).bind::<SqlUuid, _>(operator.uuid());
    let query = query.bind::<Binary, _>(token_mac).bind::<BigInt, _>(seconds);
    tx.tx.one(query.bind::<Nullable<Text>, _>(from.user_agent).bind::<Text, _>(from.address)).await
}

/// An operator's living sessions, in the order in which they were opened.
pub async fn list(
    tx: &mut PlatformTx,
    operator: OperatorId,
    page: PageRequest,
) -> DbResult<Page<LivingSession>> {
    let columns = (
        operator_sessions::id,
        operator_sessions::user_agent,
        operator_sessions::address,
        operator_sessions::created_at,
        operator_sessions::rotated_at,
        operator_sessions::expires_at,
    );
    let mut query = operator_sessions::table
        .filter(operator_sessions::operator_id.eq(operator.uuid()))
        .filter(operator_sessions::revoked_at.is_null())
        .filter(operator_sessions::expires_at.gt(clock_timestamp()))
        .select(columns)
        .order(operator_sessions::id.asc())
        .limit(page.probe())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(operator_sessions::id.gt(after));
    }
    let rows: Vec<LivingRow> = tx.tx.load(query).await?;
    Ok(Page::cut(rows.into_iter().map(LivingSession::from).collect(), page))
}

/// Ends an operator's living sessions but the one to be kept. Which were ended: call `revocations::revoke_operator_session` for
/// each in the same transaction. Lock the operator before.
pub async fn end_others(
    tx: &mut PlatformTx,
    operator: OperatorId,
    kept: Option<SessionId>,
) -> DbResult<Vec<SessionId>> {
    let query = diesel::sql_query(
        "UPDATE operator_sessions SET revoked_at = clock_timestamp() \
         WHERE operator_id = $1 AND id IS DISTINCT FROM $2 AND revoked_at IS NULL RETURNING id",
    );
    let kept = kept.map(SessionId::uuid);
    let query = query.bind::<SqlUuid, _>(operator.uuid()).bind::<Nullable<SqlUuid>, _>(kept);
    let ended: Vec<Ended> = tx.tx.load(query).await?;
    Ok(ended.into_iter().map(|row| SessionId::from_uuid(row.id)).collect())
}

/// Whether a session is this operator's and alive.
pub async fn is_living(tx: &mut PlatformTx, operator: OperatorId, id: SessionId) -> DbResult<bool> {
    let row = operator_sessions::table
        .find(id.uuid())
        .filter(operator_sessions::operator_id.eq(operator.uuid()))
        .filter(operator_sessions::revoked_at.is_null())
        .filter(operator_sessions::expires_at.gt(clock_timestamp()));
    let found: Option<uuid::Uuid> = tx.tx.first(row.select(operator_sessions::id)).await?;
    Ok(found.is_some())
}

/// The same as `tenant::sessions::make_room`, for an operator. Call `revocations::revoke_operator_session` for each.
pub async fn make_room(tx: &mut PlatformTx, operator: OperatorId) -> DbResult<Vec<SessionId>> {
    let query = diesel::sql_query(include_str!("operator_sessions/make_room.sql"));
    let ended: Vec<Ended> =
        tx.tx.load(query.bind::<SqlUuid, _>(operator.uuid()).bind::<BigInt, _>(MOST)).await?;
    Ok(ended.into_iter().map(|row| SessionId::from_uuid(row.id)).collect())
}

type SessionRow =
    (uuid::Uuid, String, Vec<u8>, Option<Vec<u8>>, DateTime<Utc>, DateTime<Utc>, Option<DateTime<Utc>>);

/// The session with this id, and its operator's present role.
pub async fn find(tx: &mut PlatformTx, id: SessionId) -> DbResult<Option<OperatorSession>> {
    let query = operator_sessions::table
        .inner_join(operators::table)
        .filter(operator_sessions::id.eq(id.uuid()))
        .select((
            operators::id,
            operators::role,
            operator_sessions::token_mac,
            operator_sessions::previous_mac,
            operator_sessions::rotated_at,
            operator_sessions::expires_at,
            operator_sessions::revoked_at,
        ));
    let row: Option<SessionRow> = tx.tx.first(query).await?;
    row.map(|(operator, role, token_mac, previous_mac, rotated_at, expires_at, revoked_at)| {
        let (role, operator) = (read_role(role)?, OperatorId::from_uuid(operator));
        Ok(OperatorSession { operator, role, token_mac, previous_mac, rotated_at, expires_at, revoked_at })
    })
    .transpose()
}

/// Replaces the token in force; `None` when `current` is not that, or the session has ended.
pub async fn rotate(
    tx: &mut PlatformTx,
    id: SessionId,
    current: &[u8],
    next: &[u8],
) -> DbResult<Option<Rotated>> {
    let row = operator_sessions::table
        .filter(operator_sessions::id.eq(id.uuid()))
        .filter(operator_sessions::token_mac.eq(current))
        .filter(operator_sessions::revoked_at.is_null())
        .filter(operator_sessions::expires_at.gt(clock_timestamp()));
    let change = (
        operator_sessions::previous_mac.eq(current),
        operator_sessions::token_mac.eq(next),
        operator_sessions::rotated_at.eq(clock_timestamp()),
    );
    let rotated = (operator_sessions::rotated_at, operator_sessions::expires_at);
    tx.tx.first(diesel::update(row).set(change).returning(rotated)).await
}

/// The session, locked until the transaction ends.
pub async fn lock(tx: &mut PlatformTx, id: SessionId) -> DbResult<Option<Locked>> {
    let columns = (
        operator_sessions::token_mac,
        operator_sessions::previous_mac,
        operator_sessions::rotated_at,
        operator_sessions::expires_at,
        operator_sessions::revoked_at,
        clock_timestamp(),
    );
    tx.tx.first(operator_sessions::table.find(id.uuid()).select(columns).for_no_key_update()).await
}

/// Ends a session; whether it was alive. Call `revocations::revoke_operator_session` in the same transaction.
pub async fn revoke(tx: &mut PlatformTx, id: SessionId) -> DbResult<bool> {
    let row = operator_sessions::table
        .filter(operator_sessions::id.eq(id.uuid()))
        .filter(operator_sessions::revoked_at.is_null());
    let ended = diesel::update(row).set(operator_sessions::revoked_at.eq(clock_timestamp().nullable()));
    Ok(tx.tx.execute(ended).await? > 0)
}
