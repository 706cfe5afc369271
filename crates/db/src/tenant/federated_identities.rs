//! Who of an issuer's people is who of the tenant's: by provider and subject, and by nothing else.
//!
//! An identity whose person was removed stays without one. So it is known that they were removed, and the issuer's word does not
//! bring them back; an administrator does, by removing the identity.

use bulkhead_domain::{FederatedIdentityId, IdentityProviderId, RoleName, UserId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::{
    engine::{
        error::{DbError, DbResult},
        page::{Page, PageRequest},
        scope::{CredentialTx, TenantTx},
    },
    schema::tenant::{federated_identities as identities, users},
};

/// What is known of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// It is this person.
    To(UserId, RoleName),
    /// It was a person who has been removed.
    Removed,
}

/// An identity, as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederatedIdentity {
    /// Its id.
    pub id: FederatedIdentityId,
    /// The provider.
    pub provider: IdentityProviderId,
    /// The `sub` there.
    pub subject: String,
    /// The person; `None` when they were removed.
    pub user: Option<UserId>,
    /// When it was linked.
    pub created_at: DateTime<Utc>,
    /// Who has linked it.
    pub created_by: String,
}

/// An identity to add.
#[derive(Clone, Copy, Debug)]
pub struct NewIdentity<'a> {
    /// Its id.
    pub id: FederatedIdentityId,
    /// The provider.
    pub provider: IdentityProviderId,
    /// The `sub` there.
    pub subject: &'a str,
    /// The person.
    pub user: UserId,
    /// Who links it.
    pub created_by: &'a str,
    /// Now.
    pub at: DateTime<Utc>,
}

type Found = (Option<uuid::Uuid>, Option<String>);

fn linked((user, role): Found) -> DbResult<Linked> {
    let unreadable = |error| DbError::Unreadable(format!("role of a user: {error}"));
    Ok(match (user, role) {
        (Some(user), Some(role)) => Linked::To(UserId::from_uuid(user), role.parse().map_err(unreadable)?),
        _ => Linked::Removed,
    })
}

macro_rules! by_subject {
    ($provider:expr, $subject:expr) => {
        identities::table
            .left_join(users::table)
            .filter(identities::provider_id.eq($provider.uuid()))
            .filter(identities::subject.eq($subject))
            .select((identities::user_id, users::role.nullable()))
    };
}

/// Who this subject is; `None` for one that was never linked.
pub async fn look_up(
    tx: &mut CredentialTx,
    provider: IdentityProviderId,
    subject: &str,
) -> DbResult<Option<Linked>> {
    let row: Option<Found> = tx.tx.first(by_subject!(provider, subject)).await?;
    row.map(linked).transpose()
}

/// The same in a transaction that goes on to write.
pub async fn find(
    tx: &mut TenantTx,
    provider: IdentityProviderId,
    subject: &str,
) -> DbResult<Option<Linked>> {
    let row: Option<Found> = tx.tx.first(by_subject!(provider, subject)).await?;
    row.map(linked).transpose()
}

/// Links a subject to a person. A subject that is linked already is [`DbError::AlreadyExists`].
pub async fn insert(tx: &mut TenantTx, new: &NewIdentity<'_>) -> DbResult<()> {
    let row = (
        identities::id.eq(new.id.uuid()),
        identities::provider_id.eq(new.provider.uuid()),
        identities::subject.eq(new.subject),
        identities::user_id.eq(new.user.uuid()),
        identities::created_at.eq(new.at),
        identities::created_by.eq(new.created_by),
    );
    tx.tx.execute(diesel::insert_into(identities::table).values(row)).await?;
    Ok(())
}

/// The identity by which this subject is this person, if it is.
pub async fn of_subject(
    tx: &mut TenantTx,
    provider: IdentityProviderId,
    subject: &str,
    user: UserId,
) -> DbResult<Option<FederatedIdentityId>> {
    let row = identities::table
        .filter(identities::provider_id.eq(provider.uuid()))
        .filter(identities::subject.eq(subject))
        .filter(identities::user_id.eq(user.uuid()));
    let found: Option<uuid::Uuid> = tx.tx.first(row.select(identities::id)).await?;
    Ok(found.map(FederatedIdentityId::from_uuid))
}

/// Whether this identity is still linked to this person.
pub async fn is_linked(tx: &mut TenantTx, id: FederatedIdentityId, user: UserId) -> DbResult<bool> {
    let row = identities::table.find(id.uuid()).filter(identities::user_id.eq(user.uuid()));
    let found: Option<uuid::Uuid> = tx.tx.first(row.select(identities::id)).await?;
    Ok(found.is_some())
}

type Row = (uuid::Uuid, uuid::Uuid, String, Option<uuid::Uuid>, DateTime<Utc>, String);

fn shown((id, provider, subject, user, created_at, created_by): Row) -> FederatedIdentity {
    FederatedIdentity {
        id: FederatedIdentityId::from_uuid(id),
        provider: IdentityProviderId::from_uuid(provider),
        subject,
        user: user.map(UserId::from_uuid),
        created_at,
        created_by,
    }
}

const COLUMNS: (
    identities::id,
    identities::provider_id,
    identities::subject,
    identities::user_id,
    identities::created_at,
    identities::created_by,
) = (
    identities::id,
    identities::provider_id,
    identities::subject,
    identities::user_id,
    identities::created_at,
    identities::created_by,
);

/// The identity with this id.
pub async fn get(tx: &mut TenantTx, id: FederatedIdentityId) -> DbResult<Option<FederatedIdentity>> {
    let row: Option<Row> = tx.tx.first(identities::table.find(id.uuid()).select(COLUMNS)).await?;
    Ok(row.map(shown))
}

/// Identities, of one provider or of all, in the order in which they were linked.
pub async fn list(
    tx: &mut TenantTx,
    provider: Option<IdentityProviderId>,
    page: PageRequest,
) -> DbResult<Page<FederatedIdentity>> {
    let mut query =
        identities::table.select(COLUMNS).order(identities::id.asc()).limit(page.probe()).into_boxed();
    if let Some(provider) = provider {
        query = query.filter(identities::provider_id.eq(provider.uuid()));
    }
    if let Some(after) = page.after {
        query = query.filter(identities::id.gt(after));
    }
    let rows: Vec<Row> = tx.tx.load(query).await?;
    Ok(Page::cut(rows.into_iter().map(shown).collect(), page))
}

/// Removes an identity: its subject is unknown from then on. Whether it was there. Revoke what its person has shown.
pub async fn delete(tx: &mut TenantTx, id: FederatedIdentityId) -> DbResult<bool> {
    Ok(tx.tx.execute(diesel::delete(identities::table.find(id.uuid()))).await? > 0)
}

/// Removes all identities of a provider that is removed.
pub async fn delete_all(tx: &mut TenantTx, provider: IdentityProviderId) -> DbResult<()> {
    let row = identities::table.filter(identities::provider_id.eq(provider.uuid()));
    tx.tx.execute(diesel::delete(row)).await?;
    Ok(())
}
