//! The people who run the platform, and their sessions. `tenant::sessions` says how the tokens of sessions are proven.

use bulkhead_domain::{OperatorId, RoleName, SessionId};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Uuid as SqlUuid},
};
use std::fmt;

use crate::{
    engine::{
        error::{DbError, DbResult},
        scope::PlatformTx,
    },
    schema::{
        clock_timestamp,
        platform::{operator_sessions, operators},
    },
    tenant::sessions::{Ended, Locked, MOST, Opened, Rotated},
};

/// What is needed to check an operator's password.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = operators, check_for_backend(diesel::pg::Pg))]
pub struct OperatorCredential {
    /// Their id.
    #[diesel(deserialize_as = uuid::Uuid)]
    pub id: OperatorId,
    /// The stored hash, in PHC format.
    pub password_hash: String,
}

impl fmt::Debug for OperatorCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorCredential({})", self.id)
    }
}

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

/// Adds an operator. An address that is taken is [`DbError::AlreadyExists`].
pub async fn insert(
    tx: &mut PlatformTx,
    id: OperatorId,
    email: &str,
    password_hash: &str,
    role: RoleName,
    at: DateTime<Utc>,
) -> DbResult<()> {
    let row = (
        operators::id.eq(id.uuid()),
        operators::email.eq(email),
        operators::password_hash.eq(password_hash),
        operators::role.eq(role.as_str()),
        operators::created_at.eq(at),
    );
    tx.tx.execute(diesel::insert_into(operators::table).values(row)).await?;
    Ok(())
}

/// The operator with this address.
pub async fn find_credential(tx: &mut PlatformTx, email: &str) -> DbResult<Option<OperatorCredential>> {
    tx.tx
        .first(operators::table.filter(operators::email.eq(email)).select(OperatorCredential::as_select()))
        .await
}

/// Replaces the stored hash of a password by another of the same password, unless the password was changed meanwhile.
pub async fn renew_password_hash(
    tx: &mut PlatformTx,
    id: OperatorId,
    stored: &str,
    renewed: &str,
) -> DbResult<()> {
    let row =
        operators::table.filter(operators::id.eq(id.uuid())).filter(operators::password_hash.eq(stored));
    tx.tx.execute(diesel::update(row).set(operators::password_hash.eq(renewed))).await?;
    Ok(())
}

/// An operator's present role, their row locked until the transaction ends. `None` when they are gone or, with
/// `password_hash`, when another one is stored.
pub async fn lock_for_proof(
    tx: &mut PlatformTx,
    id: OperatorId,
    password_hash: Option<&str>,
) -> DbResult<Option<RoleName>> {
    let role: Option<String> = match password_hash {
        Some(hash) => {
            let row = operators::table.find(id.uuid()).filter(operators::password_hash.eq(hash));
            tx.tx.first(row.select(operators::role).for_share()).await?
        }
        None => tx.tx.first(operators::table.find(id.uuid()).select(operators::role).for_share()).await?,
    };
    role.map(read_role).transpose()
}

fn read_role(role: String) -> DbResult<RoleName> {
    role.parse().map_err(|error| DbError::Unreadable(format!("role of an operator: {error}")))
}

/// Opens a session of this many seconds with its first refresh token.
pub async fn insert_session(
    tx: &mut PlatformTx,
    id: SessionId,
    operator: OperatorId,
    token_mac: &[u8],
    seconds: i64,
) -> DbResult<Opened> {
    let query = diesel::sql_query(
        "INSERT INTO operator_sessions (id, operator_id, token_mac, rotated_at, created_at, expires_at) \
         SELECT $1, $2, $3, at, at, at + $4 * interval '1 second' FROM (SELECT clock_timestamp()) AS clock (at) \
         RETURNING created_at AS at, expires_at",
    );
    let query = query.bind::<SqlUuid, _>(id.uuid()).bind::<SqlUuid, _>(operator.uuid());
    tx.tx.one(query.bind::<Binary, _>(token_mac).bind::<BigInt, _>(seconds)).await
}

/// The same as `tenant::sessions::make_room`, for an operator. Call `revocations::revoke_operator_session` for each.
pub async fn make_room(tx: &mut PlatformTx, operator: OperatorId) -> DbResult<Vec<SessionId>> {
    let query = diesel::sql_query(include_str!("operators/make_room.sql"));
    let ended: Vec<Ended> =
        tx.tx.load(query.bind::<SqlUuid, _>(operator.uuid()).bind::<BigInt, _>(MOST)).await?;
    Ok(ended.into_iter().map(|row| SessionId::from_uuid(row.id)).collect())
}

type SessionRow =
    (uuid::Uuid, String, Vec<u8>, Option<Vec<u8>>, DateTime<Utc>, DateTime<Utc>, Option<DateTime<Utc>>);

/// The session with this id, and its operator's present role.
pub async fn find_session(tx: &mut PlatformTx, id: SessionId) -> DbResult<Option<OperatorSession>> {
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
pub async fn rotate_session(
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
pub async fn lock_session(tx: &mut PlatformTx, id: SessionId) -> DbResult<Option<Locked>> {
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
pub async fn revoke_session(tx: &mut PlatformTx, id: SessionId) -> DbResult<bool> {
    let row = operator_sessions::table
        .filter(operator_sessions::id.eq(id.uuid()))
        .filter(operator_sessions::revoked_at.is_null());
    let ended = diesel::update(row).set(operator_sessions::revoked_at.eq(clock_timestamp().nullable()));
    Ok(tx.tx.execute(ended).await? > 0)
}
