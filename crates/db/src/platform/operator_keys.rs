//! API keys of operators. Only an HMAC of a key is kept; the key itself is shown once, to the operator who made it.
//!
//! A key belongs to its operator and goes with them. It is read together with its operator's present role for each request, so
//! nothing of it is remembered anywhere, and nothing has to be revoked.

use std::fmt;

use bulkhead_domain::{OperatorId, OperatorKeyId, RoleName};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Uuid as SqlUuid},
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
        platform::{operator_keys, operators},
    },
};

/// How many keys that work an operator may have.
pub const MOST: i64 = 50;

/// An API key, without what could verify it.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = operator_keys, check_for_backend(diesel::pg::Pg))]
pub struct OperatorKeyRow {
    /// Its id.
    #[diesel(deserialize_as = uuid::Uuid)]
    pub id: OperatorKeyId,
    /// Whose it is.
    #[diesel(deserialize_as = uuid::Uuid)]
    pub operator_id: OperatorId,
    /// What people call it.
    pub name: String,
    /// The part of the key that may be shown.
    pub hint: String,
    /// What it may use of what its operator holds.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// What a new key is made of.
#[derive(Clone, Copy)]
pub struct NewOperatorKey<'a> {
    /// Its id.
    pub id: OperatorKeyId,
    /// Whose it is.
    pub operator: OperatorId,
    /// What people call it.
    pub name: &'a str,
    /// The part of the key that may be shown.
    pub hint: &'a str,
    /// HMAC-SHA-256 of the key.
    pub mac: &'a [u8],
    /// What it may use of what its operator holds.
    pub scopes: &'a [String],
    /// Now.
    pub at: DateTime<Utc>,
    /// When it stops working by itself.
    pub expires_at: DateTime<Utc>,
}

/// What is needed to check a key.
#[derive(Clone)]
pub struct OperatorKeyCredential {
    /// Whose it is.
    pub operator: OperatorId,
    /// What they may do now.
    pub role: RoleName,
    /// HMAC-SHA-256 of the key.
    pub mac: Vec<u8>,
    /// What it may use of that.
    pub scopes: Vec<String>,
    /// Whether it has neither expired nor was revoked.
    pub is_working: bool,
    /// Whether its use should be noted: it was not in the last minute.
    pub is_noted: bool,
}

impl fmt::Debug for OperatorKeyCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorKeyCredential of {}", self.operator)
    }
}

/// Adds a key, unless its operator has as many as they may. Keys that have not worked for 30 days are forgotten. Lock the operator
/// before.
pub async fn insert(tx: &mut PlatformTx, new: &NewOperatorKey<'_>) -> DbResult<Option<OperatorKeyRow>> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let query = diesel::sql_query(
        "WITH gone AS (DELETE FROM operator_keys WHERE operator_id = $1 \
         AND least(expires_at, revoked_at) < now() - interval '30 days') \
         SELECT count(*) AS count FROM operator_keys \
         WHERE operator_id = $1 AND revoked_at IS NULL AND expires_at > now()",
    );
    let working: Count = tx.tx.one(query.bind::<SqlUuid, _>(new.operator.uuid())).await?;
    if working.count >= MOST {
        return Ok(None);
    }
    let row = (
        operator_keys::id.eq(new.id.uuid()),
        operator_keys::operator_id.eq(new.operator.uuid()),
        operator_keys::name.eq(new.name),
        operator_keys::hint.eq(new.hint),
        operator_keys::mac.eq(new.mac),
        operator_keys::scopes.eq(new.scopes),
        operator_keys::created_at.eq(new.at),
        operator_keys::expires_at.eq(new.expires_at),
    );
    let insert = diesel::insert_into(operator_keys::table).values(row);
    tx.tx.one(insert.returning(OperatorKeyRow::as_returning())).await.map(Some)
}

/// Keys of all operators, in the order in which they were made.
pub async fn list(tx: &mut PlatformTx, page: PageRequest) -> DbResult<Page<OperatorKeyRow>> {
    let mut query = operator_keys::table
        .select(OperatorKeyRow::as_select())
        .order(operator_keys::id.asc())
        .limit(page.probe())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(operator_keys::id.gt(after));
    }
    Ok(Page::cut(tx.tx.load(query).await?, page))
}

/// The key with this id, revoked or not.
pub async fn find(tx: &mut PlatformTx, id: OperatorKeyId) -> DbResult<Option<OperatorKeyRow>> {
    tx.tx.first(operator_keys::table.find(id.uuid()).select(OperatorKeyRow::as_select())).await
}

/// Revokes a key; whether it was not revoked before.
pub async fn revoke(tx: &mut PlatformTx, id: OperatorKeyId, at: DateTime<Utc>) -> DbResult<bool> {
    let row = operator_keys::table
        .filter(operator_keys::id.eq(id.uuid()))
        .filter(operator_keys::revoked_at.is_null());
    Ok(tx.tx.execute(diesel::update(row).set(operator_keys::revoked_at.eq(at))).await? > 0)
}

type CredentialRow = (uuid::Uuid, String, Vec<u8>, Vec<String>, bool, Option<bool>, bool);

/// The key with this id, with what its operator may do now.
pub async fn find_credential(
    tx: &mut PlatformTx,
    id: OperatorKeyId,
) -> DbResult<Option<OperatorKeyCredential>> {
    let a_minute_ago =
        diesel::dsl::sql::<diesel::sql_types::Timestamptz>("clock_timestamp() - interval '1 minute'");
    let query = operator_keys::table.inner_join(operators::table).filter(operator_keys::id.eq(id.uuid()));
    let columns = (
        operators::id,
        operators::role,
        operator_keys::mac,
        operator_keys::scopes,
        operator_keys::expires_at.gt(clock_timestamp()),
        operator_keys::last_used_at.lt(a_minute_ago.nullable()),
        operator_keys::revoked_at.is_null(),
    );
    let row: Option<CredentialRow> = tx.tx.first(query.select(columns)).await?;
    row.map(|(operator, role, mac, scopes, is_young, is_idle, is_in_force)| {
        Ok(OperatorKeyCredential {
            operator: OperatorId::from_uuid(operator),
            role: read_role(role)?,
            mac,
            scopes,
            is_working: is_young && is_in_force,
            is_noted: is_idle.unwrap_or(true),
        })
    })
    .transpose()
}

/// Notes that a key is used.
pub async fn note_use(tx: &mut PlatformTx, id: OperatorKeyId) -> DbResult<()> {
    let row = operator_keys::table.find(id.uuid());
    let used = operator_keys::last_used_at.eq(clock_timestamp().nullable());
    tx.tx.execute(diesel::update(row).set(used)).await?;
    Ok(())
}
