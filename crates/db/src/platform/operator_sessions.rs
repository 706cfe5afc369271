//! Operators' sessions.

use std::fmt;

use bulkhead_domain::{OperatorId, RoleName};
use chrono::{DateTime, Utc};

use super::operators::read_role;
use crate::{
    engine::scope::PlatformTx,
    schema::platform::{operator_sessions, operators},
    sessions::session_queries,
};

session_queries! {
    PlatformTx, crate::schema::platform::operator_sessions, "operator_sessions", OperatorId, operator_id,
    "operator_sessions/make_room.sql"
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
