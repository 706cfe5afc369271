//! The roles that a tenant has defined, beside those that every tenant has.
//!
//! Owns their rows and the locks under which roles are given. A transaction that gives or takes a role locks rows in this order,
//! those of one step in one statement by their keys: people ([`users::lock`](super::users::lock),
//! [`users::lock_role`](super::users::lock_role)), then API keys ([`api_keys::lock`](super::api_keys::lock)), then roles
//! ([`lock`], [`lock_shared`]), then the cap ([`caps::claim`](super::caps::claim)). So no two of them wait for each other, and a
//! role cannot be removed while it is being given. Refuses to say what a role holds: permissions are kept as they were written,
//! and a program's registry reads them.

use bulkhead_domain::RoleName;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Text},
};

use crate::{
    engine::{error::DbResult, scope::TenantTx},
    gate::revocations::announce_change,
    schema::tenant::roles,
};

/// A tenant's own role.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = roles, check_for_backend(diesel::pg::Pg))]
pub struct RoleRow {
    /// Its name; unique in the tenant, and never one of those that every tenant has.
    #[diesel(deserialize_as = String)]
    pub name: RoleName,
    /// What people say of it.
    pub description: String,
    /// What it holds, as it was written: `action:resource`, with `*` for all of either.
    pub permissions: Vec<String>,
    /// Grows by one with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Who made it: a user's or an API key's id.
    pub created_by: String,
}

/// What a new role is made of.
#[derive(Clone, Copy, Debug)]
pub struct NewRole<'a> {
    /// Its name.
    pub name: RoleName,
    /// What people say of it.
    pub description: &'a str,
    /// What it holds.
    pub permissions: &'a [String],
    /// Who makes it.
    pub created_by: &'a str,
    /// Now.
    pub at: DateTime<Utc>,
}

/// Adds a role. A name that is taken is [`crate::DbError::AlreadyExists`].
pub async fn insert(tx: &mut TenantTx, new: &NewRole<'_>) -> DbResult<RoleRow> {
    let row = (
        roles::name.eq(new.name.as_str()),
        roles::description.eq(new.description),
        roles::permissions.eq(new.permissions),
        roles::created_at.eq(new.at),
        roles::updated_at.eq(new.at),
        roles::created_by.eq(new.created_by),
    );
    tx.tx.one(diesel::insert_into(roles::table).values(row).returning(RoleRow::as_returning())).await
}

/// The role with this name.
pub async fn find(tx: &mut TenantTx, name: RoleName) -> DbResult<Option<RoleRow>> {
    tx.tx.first(roles::table.find(name.to_string()).select(RoleRow::as_select())).await
}

/// What the role with this name holds, as it was written.
pub async fn permissions(tx: &mut TenantTx, name: RoleName) -> DbResult<Option<Vec<String>>> {
    tx.tx.first(roles::table.find(name.to_string()).select(roles::permissions)).await
}

/// Every role, by name. [`Capped::Roles`](super::caps::Capped::Roles) bounds how many there are.
pub async fn list(tx: &mut TenantTx) -> DbResult<Vec<RoleRow>> {
    tx.tx.load(roles::table.select(RoleRow::as_select()).order(roles::name.asc())).await
}

/// The named roles, in the order of their names.
macro_rules! named {
    ($names:expr) => {
        roles::table
            .select(RoleRow::as_select())
            .filter(roles::name.eq_any($names.iter().map(RoleName::to_string).collect::<Vec<_>>()))
            .order(roles::name.asc())
    };
}

/// Those of the named roles that there are.
pub async fn find_all(tx: &mut TenantTx, names: &[RoleName]) -> DbResult<Vec<RoleRow>> {
    tx.tx.load(named!(names)).await
}

/// Those of the named roles that there are, locked until the transaction ends: no other transaction changes or removes one of
/// them meanwhile.
pub async fn lock(tx: &mut TenantTx, names: &[RoleName]) -> DbResult<Vec<RoleRow>> {
    tx.tx.load(named!(names).for_update()).await
}

/// The same for a transaction that only gives them: others may give them at the same time.
pub async fn lock_shared(tx: &mut TenantTx, names: &[RoleName]) -> DbResult<Vec<RoleRow>> {
    tx.tx.load(named!(names).for_share()).await
}

/// Replaces what is said of a role and what it holds; `None` when it is gone.
pub async fn update(
    tx: &mut TenantTx,
    name: RoleName,
    description: &str,
    permissions: &[String],
    at: DateTime<Utc>,
) -> DbResult<Option<RoleRow>> {
    let statement = diesel::update(roles::table.find(name.to_string()))
        .set((
            roles::description.eq(description),
            roles::permissions.eq(permissions),
            roles::version.eq(roles::version + 1),
            roles::updated_at.eq(at),
        ))
        .returning(RoleRow::as_returning());
    tx.tx.first(statement).await
}

/// Removes a role; whether it was there.
pub async fn delete(tx: &mut TenantTx, name: RoleName) -> DbResult<bool> {
    Ok(tx.tx.execute(diesel::delete(roles::table.find(name.to_string()))).await? > 0)
}

/// Who has a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Holders {
    /// How many people.
    #[diesel(sql_type = BigInt)]
    pub users: i64,
    /// How many API keys that are neither revoked nor expired. Disabled ones count: they can be enabled again.
    #[diesel(sql_type = BigInt)]
    pub api_keys: i64,
    /// Whether people who register get it: 1 if they do.
    #[diesel(sql_type = BigInt)]
    pub settings: i64,
}

impl Holders {
    /// Whether a person or a key has it, or people who register get it.
    pub const fn is_any(&self) -> bool {
        self.users > 0 || self.api_keys > 0 || self.settings > 0
    }
}

/// Who has this role. Of a role that this transaction has locked with [`lock`], the answer stays true until it ends.
pub async fn holders(tx: &mut TenantTx, name: RoleName) -> DbResult<Holders> {
    let query = diesel::sql_query(
        "SELECT (SELECT count(*) FROM users WHERE role = $1) AS users, \
         (SELECT count(*) FROM api_keys WHERE role = $1 AND revoked_at IS NULL \
          AND (expires_at IS NULL OR expires_at > now())) AS api_keys, \
         (SELECT count(*) FROM settings WHERE name = 'registration' AND value->>'role' = $1) AS settings",
    );
    tx.tx.one(query.bind::<Text, _>(name.to_string())).await
}

/// Tells every node, within seconds of the commit, that what it remembers of the tenant's roles is out of date. The last
/// statement of a transaction that has changed one.
pub async fn announce(tx: &mut TenantTx) -> DbResult<()> {
    announce_change(tx).await
}
