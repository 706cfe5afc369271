//! The tenant's API keys. Only an HMAC of a key is kept; the key itself is shown once, to the caller that made it.
//!
//! Owns the rows and how they are locked. A key works on the authority of its [`Grantor`], a person or another key: what it holds
//! at most is what that one holds. Refuses to say what that is: permissions are kept as they were written.

mod authority;
mod secrets;
mod uses;

use bulkhead_domain::{ApiKeyId, RoleName};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Bool, Timestamptz},
};
use uuid::Uuid;

pub use self::{
    authority::{Chain, Grantor, Tree, chain, living, regrant},
    secrets::{Rotation, Secrets, disable, enable, end_previous, mark_leaked, rotate, secrets},
    uses::note_uses,
};
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
    #[diesel(deserialize_as = Uuid)]
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// The part of the key that may be shown.
    pub hint: String,
    /// What it may do.
    #[diesel(deserialize_as = String)]
    pub role: RoleName,
    /// What narrows the role, as it was written.
    pub scopes: Option<Vec<String>>,
    /// The networks from which it works, as it was written; everywhere, if `None`.
    pub allowed_addresses: Option<Vec<String>>,
    /// How many requests a minute it may make.
    pub requests_per_minute: Option<i32>,
    /// Who made it: a user's or an API key's id.
    pub created_by: String,
    granted_by_user: Option<Uuid>,
    granted_by_key: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was reported as leaked, which has revoked it.
    pub leaked_at: Option<DateTime<Utc>>,
    /// When it was disabled; it works again once it is enabled.
    pub disabled_at: Option<DateTime<Utc>>,
    /// When it was last given a new secret.
    pub rotated_at: Option<DateTime<Utc>>,
    /// Until when the secret before that is good.
    pub previous_until: Option<DateTime<Utc>>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl ApiKeyRow {
    /// On whose authority it works.
    pub fn grantor(&self) -> Grantor {
        Grantor::of(self.granted_by_user, self.granted_by_key, &self.created_by)
    }

    /// Whether it was neither revoked nor has come to its end at `now`. It may be disabled.
    pub fn is_living(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }
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
    /// What narrows the role.
    pub scopes: Option<&'a [String]>,
    /// The networks from which it works.
    pub allowed_addresses: Option<&'a [String]>,
    /// How many requests a minute it may make.
    pub requests_per_minute: Option<i32>,
    /// Who makes it: the subject of a credential.
    pub created_by: &'a str,
    /// On whose authority it works.
    pub grantor: Grantor,
    /// Now.
    pub at: DateTime<Utc>,
    /// When it stops working by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Adds a key.
pub async fn insert(tx: &mut TenantTx, new: &NewApiKey<'_>) -> DbResult<ApiKeyRow> {
    // A program that does not know these bounds finds no HMAC, and refuses the key.
    let is_bounded =
        new.scopes.is_some() || new.allowed_addresses.is_some() || new.requests_per_minute.is_some();
    let (mac, guarded_mac) = if is_bounded { (&[][..], Some(new.mac)) } else { (new.mac, None) };
    let (granted_by_user, granted_by_key) = new.grantor.columns();
    let row = (
        api_keys::id.eq(new.id.uuid()),
        api_keys::name.eq(new.name),
        api_keys::hint.eq(new.hint),
        api_keys::mac.eq(mac),
        api_keys::guarded_mac.eq(guarded_mac),
        api_keys::role.eq(new.role.as_str()),
        api_keys::scopes.eq(new.scopes),
        api_keys::allowed_addresses.eq(new.allowed_addresses),
        api_keys::requests_per_minute.eq(new.requests_per_minute),
        api_keys::created_by.eq(new.created_by),
        api_keys::granted_by_user.eq(granted_by_user),
        api_keys::granted_by_key.eq(granted_by_key),
        api_keys::created_at.eq(new.at),
        api_keys::expires_at.eq(new.expires_at),
    );
    tx.tx.one(diesel::insert_into(api_keys::table).values(row).returning(ApiKeyRow::as_returning())).await
}

/// The key with this id, revoked or not.
pub async fn find(tx: &mut TenantTx, id: ApiKeyId) -> DbResult<Option<ApiKeyRow>> {
    tx.tx.first(api_keys::table.find(id.uuid()).select(ApiKeyRow::as_select())).await
}

/// How keys are locked until the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// They do not change; others may lock them so at the same time.
    Shared,
    /// This transaction is going to change some of them.
    Change,
}

/// Those of these keys that there are, locked by one statement in the order of their ids, so that two transactions that lock
/// several do not wait for each other.
pub async fn lock(tx: &mut TenantTx, ids: &[ApiKeyId], lock: Lock) -> DbResult<Vec<ApiKeyRow>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let query = api_keys::table
        .filter(api_keys::id.eq_any(ids))
        .order(api_keys::id.asc())
        .select(ApiKeyRow::as_select());
    match lock {
        Lock::Shared => tx.tx.load(query.for_share()).await,
        Lock::Change => tx.tx.load(query.for_update()).await,
    }
}

/// Which keys a list has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Those that work on this one's authority alone.
    pub grantor: Option<Grantor>,
    /// Those alone that are living and were not used since this moment, as far as uses were written down.
    pub unused_since: Option<DateTime<Utc>>,
}

/// Keys in the order in which their rows were begun, revoked ones too.
pub async fn list(tx: &mut TenantTx, filter: Filter, page: PageRequest) -> DbResult<Page<ApiKeyRow>> {
    let mut query = api_keys::table
        .select(ApiKeyRow::as_select())
        .order(api_keys::id.asc())
        .limit(page.probe())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(api_keys::id.gt(after));
    }
    if let Some(grantor) = filter.grantor {
        let (user, key) = grantor.columns();
        // Keys from before grantors were written down answer to their maker.
        let by_maker = api_keys::created_by
            .eq(grantor.to_string())
            .and(api_keys::granted_by_user.is_null())
            .and(api_keys::granted_by_key.is_null());
        query = match (user, key) {
            (Some(user), _) => query.filter(api_keys::granted_by_user.eq(user).or(by_maker)),
            (_, Some(key)) => query.filter(api_keys::granted_by_key.eq(key).or(by_maker)),
            (None, None) => query.filter(by_maker),
        };
    }
    if let Some(since) = filter.unused_since {
        let is_unused = diesel::dsl::sql::<Bool>("coalesce(last_used_at, watched_since) < ")
            .bind::<Timestamptz, _>(since)
            .sql(" AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())");
        query = query.filter(is_unused);
    }
    Ok(Page::cut(tx.tx.load(query).await?, page))
}

/// Revokes a key; `None` when there is no such key that still works. Call `revocations::revoke` in the same transaction,
/// so that nodes that have cached it hear of it, and `revocations::announce_change` if it has granted keys.
pub async fn revoke(tx: &mut TenantTx, id: ApiKeyId, at: DateTime<Utc>) -> DbResult<Option<ApiKeyRow>> {
    let row = api_keys::table.filter(api_keys::id.eq(id.uuid())).filter(api_keys::revoked_at.is_null());
    let revoke = diesel::update(row).set(api_keys::revoked_at.eq(at)).returning(ApiKeyRow::as_returning());
    let revoked = tx.tx.first(revoke).await?;
    one_time_tokens::take_back_made_by(tx, &id.to_string()).await?;
    Ok(revoked)
}
