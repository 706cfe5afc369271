//! The tenant's people.

use bulkhead_domain::{RoleName, UserId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::{
    engine::{
        error::DbResult,
        page::{Page, PageRequest},
        scope::TenantTx,
    },
    schema::tenant::users,
    tenant::one_time_tokens,
};

/// A person, without the password hash: that never leaves `tenant::credentials`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub struct User {
    /// Their id.
    #[diesel(deserialize_as = uuid::Uuid)]
    pub id: UserId,
    /// Their address, in lower case; unique in the tenant.
    pub email: String,
    /// What they may do.
    #[diesel(deserialize_as = String)]
    pub role: RoleName,
    /// Grows by one with every change.
    pub version: i64,
    /// When they were added.
    pub created_at: DateTime<Utc>,
    /// When they were last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds a person. An address that is taken is [`crate::DbError::AlreadyExists`].
pub async fn insert(
    tx: &mut TenantTx,
    id: UserId,
    email: &str,
    password_hash: &str,
    role: RoleName,
    at: DateTime<Utc>,
) -> DbResult<User> {
    let row = (
        users::id.eq(id.uuid()),
        users::email.eq(email),
        users::password_hash.eq(password_hash),
        users::role.eq(role.as_str()),
        users::created_at.eq(at),
        users::updated_at.eq(at),
    );
    tx.tx.one(diesel::insert_into(users::table).values(row).returning(User::as_returning())).await
}

/// The person with this id.
pub async fn find(tx: &mut TenantTx, id: UserId) -> DbResult<Option<User>> {
    tx.tx.first(users::table.find(id.uuid()).select(User::as_select())).await
}

/// People in the order in which their rows were begun.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> DbResult<Page<User>> {
    let mut query =
        users::table.select(User::as_select()).order(users::id.asc()).limit(page.probe()).into_boxed();
    if let Some(after) = page.after {
        query = query.filter(users::id.gt(after));
    }
    Ok(Page::cut(tx.tx.load(query).await?, page))
}

/// Gives a person another role; `None` when they are gone.
pub async fn set_role(
    tx: &mut TenantTx,
    id: UserId,
    role: RoleName,
    at: DateTime<Utc>,
) -> DbResult<Option<User>> {
    let statement = diesel::update(users::table.find(id.uuid()))
        .set((users::role.eq(role.as_str()), users::version.eq(users::version + 1), users::updated_at.eq(at)))
        .returning(User::as_returning());
    // A token for a new password was given by, or for, a person with other rights.
    one_time_tokens::take_back(tx, id).await?;
    tx.tx.first(statement).await
}

/// Replaces the stored hash of a password by another of the same password; nothing else about the person changes, not
/// even their version. A hash that is no longer `stored`, because the password was changed meanwhile, is left alone.
pub async fn renew_password_hash(tx: &mut TenantTx, id: UserId, stored: &str, renewed: &str) -> DbResult<()> {
    let row = users::table.filter(users::id.eq(id.uuid())).filter(users::password_hash.eq(stored));
    tx.tx.execute(diesel::update(row).set(users::password_hash.eq(renewed))).await?;
    Ok(())
}

/// A person's address and the stored hash of their password; `None` when they are gone.
pub async fn own_credential(tx: &mut TenantTx, id: UserId) -> DbResult<Option<(String, String)>> {
    tx.tx.first(users::table.find(id.uuid()).select((users::email, users::password_hash))).await
}

/// Gives a person another password; whether it was done. With `stored` only while that is the stored hash, so that of two changes
/// at once exactly one is made. The tokens with which a password can be reset stop working. Call `revocations::revoke` for the
/// sessions that are to end.
pub async fn set_password_hash(
    tx: &mut TenantTx,
    id: UserId,
    stored: Option<&str>,
    hash: &str,
    at: DateTime<Utc>,
) -> DbResult<bool> {
    let change =
        (users::password_hash.eq(hash), users::version.eq(users::version + 1), users::updated_at.eq(at));
    let row = users::table.filter(users::id.eq(id.uuid()));
    let changed = match stored {
        Some(stored) => {
            let row = row.filter(users::password_hash.eq(stored));
            tx.tx.execute(diesel::update(row).set(change)).await?
        }
        None => tx.tx.execute(diesel::update(row).set(change)).await?,
    };
    one_time_tokens::take_back(tx, id).await?;
    Ok(changed > 0)
}

/// Removes a person, with their sessions and the tokens that they have made; whether they were there.
pub async fn delete(tx: &mut TenantTx, id: UserId) -> DbResult<bool> {
    one_time_tokens::take_back(tx, id).await?;
    Ok(tx.tx.execute(diesel::delete(users::table.find(id.uuid()))).await? > 0)
}

/// Whether an address is taken. A look before the work: [`insert`] is what decides.
pub async fn is_taken(tx: &mut TenantTx, email: &str) -> DbResult<bool> {
    let found: Option<uuid::Uuid> =
        tx.tx.first(users::table.filter(users::email.eq(email)).select(users::id)).await?;
    Ok(found.is_some())
}

/// The person with this address, in the form in which it is stored.
pub async fn find_by_email(tx: &mut TenantTx, email: &str) -> DbResult<Option<UserId>> {
    let found: Option<uuid::Uuid> =
        tx.tx.first(users::table.filter(users::email.eq(email)).select(users::id)).await?;
    Ok(found.map(UserId::from_uuid))
}

/// A person's present role, their row locked until the transaction ends. So a change of the person happens before this
/// proof or after it, never at the same time. `None` when they are gone or, with `password_hash`, when another hash is
/// stored.
pub async fn lock_for_proof(
    tx: &mut TenantTx,
    id: UserId,
    password_hash: Option<&str>,
) -> DbResult<Option<RoleName>> {
    let role: Option<String> = match password_hash {
        Some(hash) => {
            let row = users::table.find(id.uuid()).filter(users::password_hash.eq(hash));
            tx.tx.first(row.select(users::role).for_share()).await?
        }
        None => tx.tx.first(users::table.find(id.uuid()).select(users::role).for_share()).await?,
    };
    let read = |role: String| {
        role.parse().map_err(|error| crate::DbError::Unreadable(format!("role of a user: {error}")))
    };
    role.map(read).transpose()
}

/// The role that a person has, which does not change until the transaction ends; `None` when they are gone. Others may give
/// roles in their name at the same time.
pub async fn lock_role(tx: &mut TenantTx, id: UserId) -> DbResult<Option<RoleName>> {
    lock_for_proof(tx, id, None).await
}

/// A person who is about to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// Who it is.
    pub user: User,
    /// Whether the tenant has an owner besides.
    pub has_other_owners: bool,
    /// The role of the person who changes them; `None` when that is no person, or they are gone.
    pub by: Option<RoleName>,
}

/// The person with this id, the person who changes them and every owner, locked until the transaction ends. A transaction that
/// wants to change one of them at the same time waits, so no change is lost, two requests cannot remove the last two owners at
/// once, and a person who is being demoted changes nobody as what they were. One statement locks them all, in the order of their
/// ids, so that two such requests cannot deadlock.
pub async fn lock(tx: &mut TenantTx, id: UserId, by: Option<UserId>) -> DbResult<Option<Locked>> {
    let owner = RoleName::OWNER;
    let both = [id.uuid(), by.unwrap_or(id).uuid()];
    let query = users::table
        .filter(users::id.eq_any(both).or(users::role.eq(owner.as_str())))
        .order(users::id.asc())
        .select(User::as_select())
        .for_update();
    let locked: Vec<User> = tx.tx.load(query).await?;
    let has_other_owners = locked.iter().any(|user| user.role == owner && user.id != id);
    let by = locked.iter().find(|user| Some(user.id) == by).map(|user| user.role);
    Ok(locked.into_iter().find(|user| user.id == id).map(|user| Locked { user, has_other_owners, by }))
}
