//! The three queries a caller may cause before being proven: a user by address, a key by id, a session by id.

use bulkhead_domain::{ApiKeyId, RoleName, SessionId, UserId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use std::fmt;

use crate::{
    engine::{error::DbResult, scope::CredentialTx},
    schema::tenant::{api_keys, sessions, users},
};

/// What is needed to check a person's password.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub struct UserCredential {
    /// Their id.
    #[diesel(deserialize_as = uuid::Uuid)]
    pub id: UserId,
    /// The stored hash, in PHC format.
    pub password_hash: String,
}

/// What is needed to check an API key.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = api_keys, check_for_backend(diesel::pg::Pg))]
pub struct ApiKeyCredential {
    /// HMAC-SHA-256 of the key.
    pub mac: Vec<u8>,
    /// What it may do.
    #[diesel(deserialize_as = String)]
    pub role: RoleName,
    /// When it stops working by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What is needed to check a refresh token.
#[derive(Clone)]
pub struct SessionCredential {
    /// The person whose session it is.
    pub user: UserId,
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

macro_rules! redacted {
    ($($name:ident),*) => {$(
        /// Hashes and HMACs stay out of logs.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
redacted!(UserCredential, ApiKeyCredential, SessionCredential);

/// The person with this address.
pub async fn find_user(tx: &mut CredentialTx, email: &str) -> DbResult<Option<UserCredential>> {
    tx.tx.first(users::table.filter(users::email.eq(email)).select(UserCredential::as_select())).await
}

/// The API key with this id.
pub async fn find_api_key(tx: &mut CredentialTx, id: ApiKeyId) -> DbResult<Option<ApiKeyCredential>> {
    tx.tx.first(api_keys::table.find(id.uuid()).select(ApiKeyCredential::as_select())).await
}

type SessionRow =
    (uuid::Uuid, String, Vec<u8>, Option<Vec<u8>>, DateTime<Utc>, DateTime<Utc>, Option<DateTime<Utc>>);

/// The session with this id, and its person's present role.
pub async fn find_session(tx: &mut CredentialTx, id: SessionId) -> DbResult<Option<SessionCredential>> {
    let query = sessions::table.inner_join(users::table).filter(sessions::id.eq(id.uuid())).select((
        users::id,
        users::role,
        sessions::token_mac,
        sessions::previous_mac,
        sessions::rotated_at,
        sessions::expires_at,
        sessions::revoked_at,
    ));
    let row: Option<SessionRow> = tx.tx.first(query).await?;
    row.map(|(user, role, token_mac, previous_mac, rotated_at, expires_at, revoked_at)| {
        let role =
            role.parse().map_err(|error| crate::DbError::Unreadable(format!("role of a user: {error}")))?;
        Ok(SessionCredential {
            user: UserId::from_uuid(user),
            role,
            token_mac,
            previous_mac,
            rotated_at,
            expires_at,
            revoked_at,
        })
    })
    .transpose()
}
