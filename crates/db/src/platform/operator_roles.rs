//! The roles of operators that the platform has defined, beside those that every program has.
//!
//! Owns their rows. A transaction that gives, takes or changes a role locks all operators first
//! ([`operators::lock_all`](super::operators::lock_all)), which keeps such transactions apart; so rows here need no locks of their
//! own. Refuses to say what a role holds: permissions are kept as they were written, and a program's registry reads them.

use bulkhead_domain::RoleName;
use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::{
    engine::{error::DbResult, scope::PlatformTx},
    schema::platform::operator_roles,
    tenant::roles::{NewRole, RoleRow},
};

/// How many there may be.
pub const MOST: usize = 200;

/// The columns of a [`RoleRow`].
macro_rules! columns {
    () => {
        (
            operator_roles::name,
            operator_roles::description,
            operator_roles::permissions,
            operator_roles::version,
            operator_roles::created_at,
            operator_roles::updated_at,
            operator_roles::created_by,
        )
    };
}

/// Adds a role. A name that is taken is [`crate::DbError::AlreadyExists`].
pub async fn insert(tx: &mut PlatformTx, new: &NewRole<'_>) -> DbResult<RoleRow> {
    let row = (
        operator_roles::name.eq(new.name.as_str()),
        operator_roles::description.eq(new.description),
        operator_roles::permissions.eq(new.permissions),
        operator_roles::created_at.eq(new.at),
        operator_roles::updated_at.eq(new.at),
        operator_roles::created_by.eq(new.created_by),
    );
    tx.tx.one(diesel::insert_into(operator_roles::table).values(row).returning(columns!())).await
}

/// Every role, by name.
pub async fn list(tx: &mut PlatformTx) -> DbResult<Vec<RoleRow>> {
    tx.tx.load(operator_roles::table.select(columns!()).order(operator_roles::name.asc())).await
}

/// The role with this name.
pub async fn find(tx: &mut PlatformTx, name: RoleName) -> DbResult<Option<RoleRow>> {
    tx.tx.first(operator_roles::table.find(name.to_string()).select(columns!())).await
}

/// What the role with this name holds, as it was written.
pub async fn permissions(tx: &mut PlatformTx, name: RoleName) -> DbResult<Option<Vec<String>>> {
    tx.tx.first(operator_roles::table.find(name.to_string()).select(operator_roles::permissions)).await
}

/// Replaces what is said of a role and what it holds; `None` when it is gone.
pub async fn update(
    tx: &mut PlatformTx,
    name: RoleName,
    description: &str,
    permissions: &[String],
    at: DateTime<Utc>,
) -> DbResult<Option<RoleRow>> {
    let statement = diesel::update(operator_roles::table.find(name.to_string()))
        .set((
            operator_roles::description.eq(description),
            operator_roles::permissions.eq(permissions),
            operator_roles::version.eq(operator_roles::version + 1),
            operator_roles::updated_at.eq(at),
        ))
        .returning(columns!());
    tx.tx.first(statement).await
}

/// Removes a role; whether it was there.
pub async fn delete(tx: &mut PlatformTx, name: RoleName) -> DbResult<bool> {
    Ok(tx.tx.execute(diesel::delete(operator_roles::table.find(name.to_string()))).await? > 0)
}
