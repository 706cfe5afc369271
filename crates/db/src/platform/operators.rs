//! The people who run the platform.
//!
//! They are few: a transaction that changes one locks all of them ([`lock_all`]), so that no two changes cross, the last
//! administrator stays, and what one has given away is found when they lose the right to it. Log-ins wait for it, for a moment.

use bulkhead_domain::{OperatorId, RoleName};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Text, Timestamptz, Uuid as SqlUuid},
};
use std::fmt;

use crate::{
    engine::{
        error::{DbError, DbResult},
        page::{Page, PageRequest},
        scope::PlatformTx,
    },
    schema::{clock_timestamp, platform::operators},
};

/// What stands for the hash of a password that was never set: no password matches it.
pub const NO_PASSWORD: &str = "";

/// An operator, without what could verify them.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct Operator {
    /// Their id.
    #[diesel(deserialize_as = uuid::Uuid)]
    pub id: OperatorId,
    /// Their address; unique.
    pub email: String,
    /// What they may do.
    #[diesel(deserialize_as = String)]
    pub role: RoleName,
    /// Whether they have set a password.
    pub has_password: bool,
    /// Until when they can set one with the token that they were given last; `None` when there is none.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// Grows by one with every change.
    pub version: i64,
    /// When they were added.
    pub created_at: DateTime<Utc>,
    /// When they were last changed.
    pub updated_at: DateTime<Utc>,
}

/// The columns of an [`Operator`].
macro_rules! shown {
    () => {
        (
            operators::id,
            operators::email,
            operators::role,
            operators::password_hash.ne(NO_PASSWORD),
            operators::token_expires_at,
            operators::version,
            operators::created_at,
            operators::updated_at,
        )
    };
}

/// What is needed to check an operator's password.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = operators, check_for_backend(diesel::pg::Pg))]
pub struct OperatorCredential {
    /// Their id.
    #[diesel(deserialize_as = uuid::Uuid)]
    pub id: OperatorId,
    /// The stored hash, in PHC format.
    pub password_hash: String,
}

impl fmt::Debug for OperatorCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorCredential({})", self.id)
    }
}

/// Adds an operator. An address that is taken is [`DbError::AlreadyExists`].
pub async fn insert(
    tx: &mut PlatformTx,
    id: OperatorId,
    email: &str,
    password_hash: &str,
    role: RoleName,
    at: DateTime<Utc>,
) -> DbResult<()> {
    let row = (
        operators::id.eq(id.uuid()),
        operators::email.eq(email),
        operators::password_hash.eq(password_hash),
        operators::role.eq(role.as_str()),
        operators::created_at.eq(at),
    );
    tx.tx.execute(diesel::insert_into(operators::table).values(row)).await?;
    Ok(())
}

/// The operator with this address, if they have set a password.
pub async fn find_credential(tx: &mut PlatformTx, email: &str) -> DbResult<Option<OperatorCredential>> {
    let row =
        operators::table.filter(operators::email.eq(email)).filter(operators::password_hash.ne(NO_PASSWORD));
    tx.tx.first(row.select(OperatorCredential::as_select())).await
}

/// Replaces the stored hash of a password by another of the same password, unless the password was changed meanwhile.
pub async fn renew_password_hash(
    tx: &mut PlatformTx,
    id: OperatorId,
    stored: &str,
    renewed: &str,
) -> DbResult<()> {
    let row =
        operators::table.filter(operators::id.eq(id.uuid())).filter(operators::password_hash.eq(stored));
    tx.tx.execute(diesel::update(row).set(operators::password_hash.eq(renewed))).await?;
    Ok(())
}

/// An operator's address and the stored hash of their password; `None` when they are gone.
pub async fn own_credential(tx: &mut PlatformTx, id: OperatorId) -> DbResult<Option<(String, String)>> {
    tx.tx.first(operators::table.find(id.uuid()).select((operators::email, operators::password_hash))).await
}

/// Gives an operator another password while `stored` is the stored hash, and takes back the token that they were given; whether it
/// was done.
pub async fn set_password_hash(
    tx: &mut PlatformTx,
    id: OperatorId,
    stored: &str,
    hash: &str,
) -> DbResult<bool> {
    let row =
        operators::table.filter(operators::id.eq(id.uuid())).filter(operators::password_hash.eq(stored));
    let change = (
        operators::password_hash.eq(hash),
        operators::token_mac.eq(None::<Vec<u8>>),
        operators::token_by.eq(None::<String>),
        operators::token_expires_at.eq(None::<DateTime<Utc>>),
    );
    Ok(tx.tx.execute(diesel::update(row).set(change)).await? > 0)
}

/// An operator's present role, their row locked until the transaction ends. `None` when they are gone or, with
/// `password_hash`, when another one is stored.
pub async fn lock_for_proof(
    tx: &mut PlatformTx,
    id: OperatorId,
    password_hash: Option<&str>,
) -> DbResult<Option<RoleName>> {
    let role: Option<String> = match password_hash {
        Some(hash) => {
            let row = operators::table.find(id.uuid()).filter(operators::password_hash.eq(hash));
            tx.tx.first(row.select(operators::role).for_share()).await?
        }
        None => tx.tx.first(operators::table.find(id.uuid()).select(operators::role).for_share()).await?,
    };
    role.map(read_role).transpose()
}

pub(super) fn read_role(role: String) -> DbResult<RoleName> {
    role.parse().map_err(|error| DbError::Unreadable(format!("role of an operator: {error}")))
}

/// Operators, in the order in which they were added.
pub async fn list(tx: &mut PlatformTx, page: PageRequest) -> DbResult<Page<Operator>> {
    let mut query =
        operators::table.select(shown!()).order(operators::id.asc()).limit(page.probe()).into_boxed();
    if let Some(after) = page.after {
        query = query.filter(operators::id.gt(after));
    }
    Ok(Page::cut(tx.tx.load(query).await?, page))
}

/// The operator with this id.
pub async fn find(tx: &mut PlatformTx, id: OperatorId) -> DbResult<Option<Operator>> {
    tx.tx.first(operators::table.find(id.uuid()).select(shown!())).await
}

/// All operators, locked until the transaction ends.
#[derive(Clone, Debug)]
pub struct Locked(Vec<Operator>);

impl Locked {
    /// The operator with this id.
    pub fn find(&self, id: OperatorId) -> Option<&Operator> {
        self.0.iter().find(|operator| operator.id == id)
    }

    /// The operator with this address.
    pub fn find_email(&self, email: &str) -> Option<&Operator> {
        self.0.iter().find(|operator| operator.email == email)
    }

    /// Whether somebody besides has the role that holds everything, and can log in.
    pub fn has_other_admins(&self, id: OperatorId) -> bool {
        let admin = |one: &&Operator| one.role == RoleName::ADMIN && one.has_password && one.id != id;
        self.0.iter().any(|one| admin(&one))
    }

    /// Those who have a role.
    pub fn with_role(&self, role: RoleName) -> impl Iterator<Item = &Operator> {
        self.0.iter().filter(move |operator| operator.role == role)
    }
}

/// Locks all operators until the transaction ends, in the order of their ids: the first statement of a transaction that changes
/// one, or what their roles hold.
pub async fn lock_all(tx: &mut PlatformTx) -> DbResult<Locked> {
    let query = operators::table.order(operators::id.asc()).select(shown!()).for_update();
    Ok(Locked(tx.tx.load(query).await?))
}

/// Gives an operator another role, and takes back the token that they were given; `None` when they are gone. Revoke what they have
/// in the same transaction.
pub async fn set_role(
    tx: &mut PlatformTx,
    id: OperatorId,
    role: RoleName,
    at: DateTime<Utc>,
) -> DbResult<Option<Operator>> {
    let change = (
        operators::role.eq(role.as_str()),
        operators::version.eq(operators::version + 1),
        operators::updated_at.eq(at),
        operators::token_mac.eq(None::<Vec<u8>>),
        operators::token_by.eq(None::<String>),
        operators::token_expires_at.eq(None::<DateTime<Utc>>),
    );
    let statement = diesel::update(operators::table.find(id.uuid())).set(change).returning(shown!());
    tx.tx.first(statement).await
}

/// Removes an operator with their sessions, keys and second factor; whether they were there. Revoke what they have in the same
/// transaction.
pub async fn delete(tx: &mut PlatformTx, id: OperatorId) -> DbResult<bool> {
    Ok(tx.tx.execute(diesel::delete(operators::table.find(id.uuid()))).await? > 0)
}

/// What a token with which an operator sets a password is made of.
#[derive(Clone, Copy)]
pub struct NewToken<'a> {
    /// Whose password may be set with it.
    pub operator: OperatorId,
    /// HMAC-SHA-256 of the token.
    pub mac: &'a [u8],
    /// Who has asked for it.
    pub created_by: &'a str,
    /// How long it works, in seconds.
    pub seconds: i64,
}

#[derive(QueryableByName)]
struct Made {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

/// Keeps a token, and says when it stops working; `None` when the operator is gone. The one before it stops working now.
pub async fn keep_token(tx: &mut PlatformTx, new: &NewToken<'_>) -> DbResult<Option<DateTime<Utc>>> {
    let query = diesel::sql_query(
        "UPDATE operators SET token_mac = $2, token_by = $3, \
         token_expires_at = clock_timestamp() + $4 * interval '1 second' \
         WHERE id = $1 RETURNING token_expires_at AS at",
    );
    let query = query.bind::<SqlUuid, _>(new.operator.uuid()).bind::<Binary, _>(new.mac);
    let made: Option<Made> =
        tx.tx.first(query.bind::<Text, _>(new.created_by).bind::<BigInt, _>(new.seconds)).await?;
    Ok(made.map(|made| made.at))
}

/// The address of the operator whose password a token may set; `None` when it was used, replaced or has expired.
pub async fn find_token(tx: &mut PlatformTx, id: OperatorId, mac: &[u8]) -> DbResult<Option<String>> {
    let row = operators::table
        .find(id.uuid())
        .filter(operators::token_mac.eq(mac))
        .filter(operators::token_expires_at.gt(clock_timestamp().nullable()));
    tx.tx.first(row.select(operators::email)).await
}

/// Sets a password with a token, which is used up by that; whether it was still good. One statement, so that of any number of
/// callers with one token one sets a password.
pub async fn spend_token(
    tx: &mut PlatformTx,
    id: OperatorId,
    mac: &[u8],
    hash: &str,
    at: DateTime<Utc>,
) -> DbResult<bool> {
    let row = operators::table
        .filter(operators::id.eq(id.uuid()))
        .filter(operators::token_mac.eq(mac))
        .filter(operators::token_expires_at.gt(clock_timestamp().nullable()));
    let change = (
        operators::password_hash.eq(hash),
        operators::version.eq(operators::version + 1),
        operators::updated_at.eq(at),
        operators::token_mac.eq(None::<Vec<u8>>),
        operators::token_by.eq(None::<String>),
        operators::token_expires_at.eq(None::<DateTime<Utc>>),
    );
    Ok(tx.tx.execute(diesel::update(row).set(change)).await? > 0)
}

/// Takes back every token that the subject of a credential has asked for: it may not any more. Lock all operators before.
pub async fn take_back_made_by(tx: &mut PlatformTx, subject: &str) -> DbResult<()> {
    let query =
        "UPDATE operators SET token_mac = NULL, token_by = NULL, token_expires_at = NULL WHERE token_by = $1";
    tx.tx.execute(diesel::sql_query(query).bind::<Text, _>(subject)).await?;
    Ok(())
}

/// Takes back every token: what a role holds is about to change, and with it who may hand out what.
pub async fn take_back_all(tx: &mut PlatformTx) -> DbResult<()> {
    let query = "UPDATE operators SET token_mac = NULL, token_by = NULL, token_expires_at = NULL \
                 WHERE token_mac IS NOT NULL";
    tx.tx.execute(diesel::sql_query(query)).await?;
    Ok(())
}
