//! The three queries a caller may cause before being proven: a user by address, a key by id, a session by id. And those that tell
//! what a key holds once it is proven: which role the one has who has granted it.

use bulkhead_domain::{ApiKeyId, RoleName, SessionId, UserId};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use std::fmt;

use crate::{
    engine::{
        error::DbResult,
        scope::{CredentialTx, TenantTx},
        transaction::Tx,
    },
    schema::tenant::{sessions, users},
    tenant::api_keys::Grantor,
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
#[derive(Clone)]
pub struct ApiKeyCredential {
    /// HMAC-SHA-256 of the key.
    pub mac: Vec<u8>,
    /// The same of the secret before the last rotation, and until when that is good.
    pub previous: Option<(Vec<u8>, DateTime<Utc>)>,
    /// The networks from which it works, as they were written; everywhere, if `None`.
    pub allowed_addresses: Option<Vec<String>>,
    /// How many requests a minute it may make.
    pub requests_per_minute: Option<i32>,
    /// When it was last used, as far as that was noted.
    pub last_used_at: Option<DateTime<Utc>>,
    /// What it holds, and whether it is in force.
    pub link: KeyLink,
}

/// A key as it is looked at to see what it holds, or what another one holds that it has granted.
#[derive(Clone, Debug)]
pub struct KeyLink {
    /// What it may do.
    pub role: HeldRole,
    /// What narrows the role, as it was written.
    pub scopes: Option<Vec<String>>,
    /// When it stops working by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was disabled.
    pub disabled_at: Option<DateTime<Utc>>,
    /// On whose authority it works.
    pub grantor: Grantor,
    /// The role of that one, if the key's row names a person and they are there.
    pub maker: Option<HeldRole>,
}

/// A role with what it holds, as it was written, if it is one of the tenant's own.
#[derive(Clone, Debug)]
pub struct HeldRole {
    /// Its name.
    pub name: RoleName,
    /// What it holds; nothing is here for a built-in role, and for one that there is not.
    pub entries: Vec<String>,
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
    api_key(&mut tx.tx, id).await
}

/// The same key as one that has granted another one, which is proven.
pub async fn find_granting_key(tx: &mut TenantTx, id: ApiKeyId) -> DbResult<Option<KeyLink>> {
    Ok(api_key(&mut tx.tx, id).await?.map(|found| found.link))
}

/// The role of a person who has granted a key; `None` when they are gone.
pub async fn find_granting_user(tx: &mut TenantTx, id: UserId) -> DbResult<Option<HeldRole>> {
    let query = diesel::sql_query(
        "SELECT u.role, r.permissions AS entries FROM users u LEFT JOIN roles r ON r.name = u.role WHERE u.id = $1",
    );
    let row: Option<RoleRow> = tx.tx.first(query.bind::<SqlUuid, _>(id.uuid())).await?;
    row.map(|RoleRow { role, entries }| held(role, entries)).transpose()
}

#[derive(QueryableByName)]
struct RoleRow {
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    entries: Option<Vec<String>>,
}

#[derive(QueryableByName)]
struct KeyRow {
    #[diesel(sql_type = Binary)]
    mac: Vec<u8>,
    #[diesel(sql_type = Nullable<Binary>)]
    previous_mac: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    previous_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    allowed_addresses: Option<Vec<String>>,
    #[diesel(sql_type = Nullable<Integer>)]
    requests_per_minute: Option<i32>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_used_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    entries: Option<Vec<String>>,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    scopes: Option<Vec<String>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    expires_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    revoked_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    created_by: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    granted_by_user: Option<uuid::Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    granted_by_key: Option<uuid::Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    maker_role: Option<String>,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    maker_entries: Option<Vec<String>>,
}

/// One statement: the key, the person who has granted it, and what their roles hold if those are the tenant's own.
async fn api_key(tx: &mut Tx, id: ApiKeyId) -> DbResult<Option<ApiKeyCredential>> {
    let query = diesel::sql_query(
        "SELECT coalesce(k.guarded_mac, k.mac) AS mac, k.previous_mac, k.previous_until, k.allowed_addresses, \
             k.requests_per_minute, k.last_used_at, k.role, r.permissions AS entries, k.scopes, k.expires_at, \
             k.revoked_at, k.disabled_at, k.created_by, k.granted_by_user, k.granted_by_key, \
             u.role AS maker_role, ur.permissions AS maker_entries \
         FROM api_keys k LEFT JOIN roles r ON r.name = k.role \
         LEFT JOIN users u ON u.id = k.granted_by_user LEFT JOIN roles ur ON ur.name = u.role WHERE k.id = $1",
    );
    let row: Option<KeyRow> = tx.first(query.bind::<SqlUuid, _>(id.uuid())).await?;
    row.map(|row| {
        let maker = row.maker_role.map(|role| held(role, row.maker_entries)).transpose()?;
        let link = KeyLink {
            role: held(row.role, row.entries)?,
            scopes: row.scopes,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            disabled_at: row.disabled_at,
            grantor: Grantor::of(row.granted_by_user, row.granted_by_key, &row.created_by),
            maker,
        };
        Ok(ApiKeyCredential {
            mac: row.mac,
            previous: row.previous_mac.zip(row.previous_until),
            allowed_addresses: row.allowed_addresses,
            requests_per_minute: row.requests_per_minute,
            last_used_at: row.last_used_at,
            link,
        })
    })
    .transpose()
}

fn held(role: String, entries: Option<Vec<String>>) -> DbResult<HeldRole> {
    let name =
        role.parse().map_err(|error| crate::DbError::Unreadable(format!("name of a role: {error}")))?;
    Ok(HeldRole { name, entries: entries.unwrap_or_default() })
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
