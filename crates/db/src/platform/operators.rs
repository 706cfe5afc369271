//! The people who run the platform, and their sessions.

use bulkhead_domain::{OperatorId, OperatorRole, SessionId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use std::fmt;

use crate::{
    error::{DbError, DbResult},
    schema::platform::{operator_sessions, operators},
    scope::PlatformTx,
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
    /// What they may do.
    #[diesel(deserialize_as = String)]
    pub role: OperatorRole,
}

impl fmt::Debug for OperatorCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorCredential({})", self.id)
    }
}

/// What is needed to check an operator's refresh token.
#[derive(Clone)]
pub struct OperatorSession {
    /// Whose session it is.
    pub operator: OperatorId,
    /// What they may do now.
    pub role: OperatorRole,
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
    role: OperatorRole,
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

/// Opens a session with its first refresh token.
pub async fn insert_session(
    tx: &mut PlatformTx,
    id: SessionId,
    operator: OperatorId,
    token_mac: &[u8],
    at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> DbResult<()> {
    let row = (
        operator_sessions::id.eq(id.uuid()),
        operator_sessions::operator_id.eq(operator.uuid()),
        operator_sessions::token_mac.eq(token_mac),
        operator_sessions::rotated_at.eq(at),
        operator_sessions::created_at.eq(at),
        operator_sessions::expires_at.eq(expires_at),
    );
    tx.tx.execute(diesel::insert_into(operator_sessions::table).values(row)).await?;
    Ok(())
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
        let role =
            role.parse().map_err(|error| DbError::Unreadable(format!("role of an operator: {error}")))?;
        let operator = OperatorId::from_uuid(operator);
        Ok(OperatorSession { operator, role, token_mac, previous_mac, rotated_at, expires_at, revoked_at })
    })
    .transpose()
}

/// Replaces the token in force; whether `current` still was it.
pub async fn rotate_session(
    tx: &mut PlatformTx,
    id: SessionId,
    current: &[u8],
    next: &[u8],
    at: DateTime<Utc>,
) -> DbResult<bool> {
    let row = operator_sessions::table
        .filter(operator_sessions::id.eq(id.uuid()))
        .filter(operator_sessions::token_mac.eq(current))
        .filter(operator_sessions::revoked_at.is_null())
        .filter(operator_sessions::expires_at.gt(at));
    let change = (
        operator_sessions::previous_mac.eq(current),
        operator_sessions::token_mac.eq(next),
        operator_sessions::rotated_at.eq(at),
    );
    Ok(tx.tx.execute(diesel::update(row).set(change)).await? > 0)
}

/// Ends a session; whether it was alive.
pub async fn revoke_session(tx: &mut PlatformTx, id: SessionId, at: DateTime<Utc>) -> DbResult<bool> {
    let row = operator_sessions::table
        .filter(operator_sessions::id.eq(id.uuid()))
        .filter(operator_sessions::revoked_at.is_null());
    Ok(tx.tx.execute(diesel::update(row).set(operator_sessions::revoked_at.eq(at))).await? > 0)
}
