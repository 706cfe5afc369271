//! The tenant's API keys. Only an HMAC of a key is kept; the key itself is shown once, to the caller that made it.

use bulkhead_domain::{ApiKeyId, RoleName};
use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::{
    engine::{
        error::DbResult,
        page::{Page, PageRequest},
        scope::TenantTx,
    },
    schema::tenant::api_keys,
    tenant::one_time_tokens,
};

/// An API key, without what could verify it.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = api_keys, check_for_backend(diesel::pg::Pg))]
pub struct ApiKeyRow {
    /// Its id.
    #[diesel(deserialize_as = uuid::Uuid)]
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// The part of the key that may be shown.
    pub hint: String,
    /// What it may do.
    #[diesel(deserialize_as = String)]
    pub role: RoleName,
    /// Who made it: a user's or an API key's id.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What a new key is made of.
#[derive(Clone, Debug)]
pub struct NewApiKey<'a> {
    /// Its id.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: &'a str,
    /// The part of the key that may be shown.
    pub hint: &'a str,
    /// HMAC-SHA-256 of the key.
    pub mac: &'a [u8],
    /// What it may do.
    pub role: RoleName,
    /// Who makes it.
    pub created_by: &'a str,
    /// Now.
    pub at: DateTime<Utc>,
    /// When it stops working by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Adds a key.
pub async fn insert(tx: &mut TenantTx, new: &NewApiKey<'_>) -> DbResult<ApiKeyRow> {
    let row = (
        api_keys::id.eq(new.id.uuid()),
        api_keys::name.eq(new.name),
        api_keys::hint.eq(new.hint),
        api_keys::mac.eq(new.mac),
        api_keys::role.eq(new.role.as_str()),
        api_keys::created_by.eq(new.created_by),
        api_keys::created_at.eq(new.at),
        api_keys::expires_at.eq(new.expires_at),
    );
    tx.tx.one(diesel::insert_into(api_keys::table).values(row).returning(ApiKeyRow::as_returning())).await
}

/// The key with this id, revoked or not.
pub async fn find(tx: &mut TenantTx, id: ApiKeyId) -> DbResult<Option<ApiKeyRow>> {
    tx.tx.first(api_keys::table.find(id.uuid()).select(ApiKeyRow::as_select())).await
}

/// The role of a key that is not revoked, which does not change until the transaction ends; `None` when there is no such key.
/// Others may give roles in its name at the same time.
pub async fn lock_role(tx: &mut TenantTx, id: ApiKeyId) -> DbResult<Option<RoleName>> {
    let row = api_keys::table.find(id.uuid()).filter(api_keys::revoked_at.is_null());
    let role: Option<String> = tx.tx.first(row.select(api_keys::role).for_share()).await?;
    let read = |role: String| {
        role.parse().map_err(|error| crate::DbError::Unreadable(format!("role of an API key: {error}")))
    };
    role.map(read).transpose()
}

/// A key that is about to be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// Which one.
    pub key: ApiKeyRow,
    /// The role of the key that revokes it; `None` when that is no key, or it is revoked itself.
    pub by: Option<RoleName>,
}

/// The key with this id and the key that revokes it, locked until the transaction ends, by one statement in the order of their
/// ids.
pub async fn lock(tx: &mut TenantTx, id: ApiKeyId, by: Option<ApiKeyId>) -> DbResult<Option<Locked>> {
    let both = [id.uuid(), by.unwrap_or(id).uuid()];
    let query = api_keys::table
        .filter(api_keys::id.eq_any(both))
        .order(api_keys::id.asc())
        .select(ApiKeyRow::as_select())
        .for_update();
    let locked: Vec<ApiKeyRow> = tx.tx.load(query).await?;
    let is_by = |key: &&ApiKeyRow| Some(key.id) == by && key.revoked_at.is_none();
    let by = locked.iter().find(is_by).map(|key| key.role);
    Ok(locked.into_iter().find(|key| key.id == id).map(|key| Locked { key, by }))
}

/// Keys in the order in which their rows were begun, revoked ones too.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> DbResult<Page<ApiKeyRow>> {
    let mut query = api_keys::table
        .select(ApiKeyRow::as_select())
        .order(api_keys::id.asc())
        .limit(page.probe())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(api_keys::id.gt(after));
    }
    Ok(Page::cut(tx.tx.load(query).await?, page))
}

/// Revokes a key; `None` when there is no such key that still works. Call `revocations::revoke` in the same transaction,
/// so that nodes that have cached it hear of it.
pub async fn revoke(tx: &mut TenantTx, id: ApiKeyId, at: DateTime<Utc>) -> DbResult<Option<ApiKeyRow>> {
    let row = api_keys::table.filter(api_keys::id.eq(id.uuid())).filter(api_keys::revoked_at.is_null());
    let revoke = diesel::update(row).set(api_keys::revoked_at.eq(at)).returning(ApiKeyRow::as_returning());
    let revoked = tx.tx.first(revoke).await?;
    one_time_tokens::take_back_made_by(tx, &id.to_string()).await?;
    Ok(revoked)
}
