//! The people who run the platform.

use bulkhead_domain::{OperatorId, RoleName};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use std::fmt;

use crate::{
    engine::{
        error::{DbError, DbResult},
        scope::PlatformTx,
    },
    schema::platform::operators,
};

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

/// The operator with this address.
pub async fn find_credential(tx: &mut PlatformTx, email: &str) -> DbResult<Option<OperatorCredential>> {
    tx.tx
        .first(operators::table.filter(operators::email.eq(email)).select(OperatorCredential::as_select()))
        .await
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

/// Gives an operator another password while `stored` is the stored hash; whether it was done.
pub async fn set_password_hash(
    tx: &mut PlatformTx,
    id: OperatorId,
    stored: &str,
    hash: &str,
) -> DbResult<bool> {
    let row =
        operators::table.filter(operators::id.eq(id.uuid())).filter(operators::password_hash.eq(stored));
    Ok(tx.tx.execute(diesel::update(row).set(operators::password_hash.eq(hash))).await? > 0)
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
