//! Accounts of the tenant's people at an identity provider, where people who are made here are made as well.
//!
//! Owns how far each has come. What is to become of it follows from whether its person is here. Who changes both locks the person first.

use std::{fmt, str::FromStr};

use bulkhead_domain::{IdentityProviderId, JobId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use crate::{
    engine::{
        error::{DbError, DbResult},
        scope::TenantTx,
    },
    schema::tenant::{provider_accounts as accounts, users},
    tenant::users::User,
};

/// How far an account has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Somebody wants it. It is not there because of us.
    Asked,
    /// The provider is being asked for it, or was: it may be there, and is ours then.
    Making,
    /// It is there, and its subject is linked to the person.
    Linked,
}

impl Stage {
    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Making => "making",
            Self::Linked => "linked",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no stage.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no stage of an account")]
pub struct NoStage;

impl FromStr for Stage {
    type Err = NoStage;

    fn from_str(text: &str) -> Result<Self, NoStage> {
        [Self::Asked, Self::Making, Self::Linked].into_iter().find(|one| one.as_str() == text).ok_or(NoStage)
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderAccount {
    /// Whose it is, or was.
    pub person: UserId,
    /// The provider.
    pub provider: IdentityProviderId,
    /// The person's address.
    pub email: String,
    /// What the provider calls it; `None` as long as that is not known.
    pub username: Option<String>,
    /// How far it has come.
    pub stage: Stage,
    /// Whether it came to be because of us.
    pub made_here: bool,
    /// The job that may be asking for it at this moment, and until when.
    pub held: Option<(JobId, DateTime<Utc>)>,
}

impl ProviderAccount {
    /// Whether another job than this one may be asking the provider for it.
    pub fn is_held(&self, job: JobId, now: DateTime<Utc>) -> bool {
        self.held.is_some_and(|(by, until)| by != job && now < until)
    }
}

type Row =
    (uuid::Uuid, uuid::Uuid, String, Option<String>, String, bool, Option<uuid::Uuid>, Option<DateTime<Utc>>);

const COLUMNS: (
    accounts::person_id,
    accounts::provider_id,
    accounts::email,
    accounts::username,
    accounts::stage,
    accounts::made_here,
    accounts::held_by,
    accounts::held_until,
) = (
    accounts::person_id,
    accounts::provider_id,
    accounts::email,
    accounts::username,
    accounts::stage,
    accounts::made_here,
    accounts::held_by,
    accounts::held_until,
);

fn read((person, provider, email, username, stage, made_here, by, until): Row) -> DbResult<ProviderAccount> {
    Ok(ProviderAccount {
        person: UserId::from_uuid(person),
        provider: IdentityProviderId::from_uuid(provider),
        email,
        username,
        stage: stage.parse().map_err(|error: NoStage| DbError::Unreadable(error.to_string()))?,
        made_here,
        held: by.map(JobId::from_uuid).zip(until),
    })
}

/// Asks for an account of a person who is added in the same transaction.
pub async fn insert(
    tx: &mut TenantTx,
    person: UserId,
    provider: IdentityProviderId,
    email: &str,
    at: DateTime<Utc>,
) -> DbResult<()> {
    let row = (
        accounts::person_id.eq(person.uuid()),
        accounts::provider_id.eq(provider.uuid()),
        accounts::email.eq(email),
        accounts::stage.eq(Stage::Asked.as_str()),
        accounts::created_at.eq(at),
    );
    tx.tx.execute(diesel::insert_into(accounts::table).values(row)).await?;
    Ok(())
}

/// The account of a person, who may be gone.
pub async fn find(tx: &mut TenantTx, person: UserId) -> DbResult<Option<ProviderAccount>> {
    let row: Option<Row> = tx.tx.first(accounts::table.find(person.uuid()).select(COLUMNS)).await?;
    row.map(read).transpose()
}

/// The person with this id, and the provider and the stage of their account, if one was asked for.
pub async fn with_user(
    tx: &mut TenantTx,
    id: UserId,
) -> DbResult<Option<(User, Option<(IdentityProviderId, Stage)>)>> {
    let query = users::table
        .left_join(accounts::table.on(accounts::person_id.eq(users::id)))
        .filter(users::id.eq(id.uuid()))
        .select((User::as_select(), (accounts::provider_id, accounts::stage).nullable()));
    let row: Option<(User, Option<(uuid::Uuid, String)>)> = tx.tx.first(query).await?;
    let read = |(provider, stage): (uuid::Uuid, String)| {
        let stage = stage.parse().map_err(|error: NoStage| DbError::Unreadable(error.to_string()))?;
        Ok::<_, DbError>((IdentityProviderId::from_uuid(provider), stage))
    };
    row.map(|(user, account)| Ok((user, account.map(read).transpose()?))).transpose()
}

/// The same of the account alone, locked until the transaction ends. Lock the person before.
pub async fn lock(tx: &mut TenantTx, person: UserId) -> DbResult<Option<ProviderAccount>> {
    let row: Option<Row> =
        tx.tx.first(accounts::table.find(person.uuid()).select(COLUMNS).for_update()).await?;
    row.map(read).transpose()
}

/// Whether the account of somebody else, who is gone or not, has this address at the provider: it is settled first.
pub async fn is_another(tx: &mut TenantTx, account: &ProviderAccount) -> DbResult<bool> {
    let query = accounts::table
        .filter(accounts::provider_id.eq(account.provider.uuid()))
        .filter(accounts::email.eq(&account.email))
        .filter(accounts::person_id.ne(account.person.uuid()))
        .select(accounts::person_id);
    let found: Option<uuid::Uuid> = tx.tx.first(query).await?;
    Ok(found.is_some())
}

/// Notes that a job is about to ask the provider for the account, and has done so by `until`.
pub async fn hold(tx: &mut TenantTx, person: UserId, job: JobId, until: DateTime<Utc>) -> DbResult<()> {
    let change = (
        accounts::stage.eq(Stage::Making.as_str()),
        accounts::held_by.eq(job.uuid()),
        accounts::held_until.eq(until),
    );
    tx.tx.execute(diesel::update(accounts::table.find(person.uuid())).set(change)).await?;
    Ok(())
}

/// Notes that no job is asking for it any more.
pub async fn release(tx: &mut TenantTx, person: UserId) -> DbResult<()> {
    let change = (accounts::held_by.eq(None::<uuid::Uuid>), accounts::held_until.eq(None::<DateTime<Utc>>));
    tx.tx.execute(diesel::update(accounts::table.find(person.uuid())).set(change)).await?;
    Ok(())
}

/// Notes that the account is there under this name, and linked.
pub async fn linked(tx: &mut TenantTx, person: UserId, username: &str, made_here: bool) -> DbResult<()> {
    let change = (
        accounts::stage.eq(Stage::Linked.as_str()),
        accounts::username.eq(username),
        accounts::made_here.eq(made_here),
        accounts::held_by.eq(None::<uuid::Uuid>),
        accounts::held_until.eq(None::<DateTime<Utc>>),
    );
    tx.tx.execute(diesel::update(accounts::table.find(person.uuid())).set(change)).await?;
    Ok(())
}

/// Forgets an account.
pub async fn delete(tx: &mut TenantTx, person: UserId) -> DbResult<()> {
    tx.tx.execute(diesel::delete(accounts::table.find(person.uuid()))).await?;
    Ok(())
}

/// Accounts that have not come to where they are to be for an hour, so many at most: their jobs may have been given up, or their
/// people were removed by a program that knows nothing of accounts.
pub async fn unsettled(tx: &mut TenantTx, now: DateTime<Utc>, limit: i64) -> DbResult<Vec<UserId>> {
    let query = accounts::table
        .left_join(users::table.on(users::id.eq(accounts::person_id)))
        .filter(accounts::created_at.lt(now - TimeDelta::hours(1)))
        .filter(accounts::stage.ne(Stage::Linked.as_str()).or(users::id.is_null()))
        .select(accounts::person_id)
        .order(accounts::person_id.asc())
        .limit(limit);
    let rows: Vec<uuid::Uuid> = tx.tx.load(query).await?;
    Ok(rows.into_iter().map(UserId::from_uuid).collect())
}
