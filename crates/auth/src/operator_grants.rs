//! Which operator may give which role, as the database has it in the transaction that gives it.
//!
//! The rules are those of tenants' roles ([`grants`](crate::grants)): nobody gives, takes away, makes or changes a role that
//! holds what their own does not. All operators are locked when it is decided, so no grant crosses a demotion. Refuses API keys:
//! what they made would outlive them.

use std::collections::BTreeMap;

use bulkhead_db::{
    DbResult, PlatformTx,
    platform::{
        operator_roles,
        operators::{self, Locked},
    },
    tenant::roles::RoleRow,
};
use bulkhead_domain::{
    AccessRegistry, OperatorId, OperatorPermission, RoleName,
    access::{Lacking, RoleContent, UnknownRole},
};

/// Why an operator may not do with a role what they want.
#[derive(Debug, thiserror::Error)]
pub enum OperatorGrantError {
    /// The caller was removed.
    #[error("the caller is gone")]
    Gone,
    /// The caller's role does not hold the permission of the operation any more.
    #[error("the caller's role does not hold {0} any more")]
    Forbidden(OperatorPermission),
    /// The caller's role does not hold all that this role does.
    #[error("the role {role} holds {lacking}, which the caller's role does not")]
    Beyond {
        /// The role.
        role: RoleName,
        /// What of it the caller lacks.
        lacking: Lacking,
    },
    /// There is no such role; which there are.
    #[error(transparent)]
    Unknown(#[from] UnknownRole),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] bulkhead_db::DbError),
}

/// All operators, locked, and what their roles hold.
#[derive(Debug)]
pub struct OperatorGrants<'a> {
    access: &'a AccessRegistry,
    own: RoleContent,
    rows: BTreeMap<String, RoleRow>,
    operators: Locked,
}

impl<'a> OperatorGrants<'a> {
    /// Locks all operators and reads the roles, for a caller who needs this permission.
    pub async fn lock(
        tx: &mut PlatformTx,
        access: &'a AccessRegistry,
        caller: OperatorId,
        needs: OperatorPermission,
    ) -> Result<Self, OperatorGrantError> {
        let operators = operators::lock_all(tx).await?;
        let own = operators.find(caller).ok_or(OperatorGrantError::Gone)?.role;
        let rows = rows(tx).await?;
        let own = content(access, &rows, own);
        if !access.operator_bit(needs).is_some_and(|bit| own.role().permissions().contains(bit)) {
            return Err(OperatorGrantError::Forbidden(needs));
        }
        Ok(Self { access, own, rows, operators })
    }

    /// The operators.
    pub const fn operators(&self) -> &Locked {
        &self.operators
    }

    /// Whether the caller may take this role away.
    pub fn may_take(&self, role: RoleName) -> Result<(), OperatorGrantError> {
        self.may_grant(&content(self.access, &self.rows, role))
    }

    /// Whether there is such a role and the caller may give it.
    pub fn may_give(&self, role: RoleName) -> Result<(), OperatorGrantError> {
        let content = content(self.access, &self.rows, role);
        if content.is_unknown() {
            return Err(self.access.operators().unknown_role().into());
        }
        self.may_grant(&content)
    }

    /// Whether the caller may let the role of this name hold these entries.
    pub fn may_hold(&self, role: RoleName, entries: &[String]) -> Result<(), OperatorGrantError> {
        self.may_grant(&self.access.operators().content(role, Some(entries)))
    }

    /// The first of these entries that names a permission which the caller's role does not hold.
    pub fn first_beyond<'e>(&self, entries: &'e [String]) -> Option<&'e str> {
        self.access.operators().first_beyond(&self.own.role(), entries)
    }

    /// How many roles the platform has defined.
    pub fn defined(&self) -> usize {
        self.rows.len()
    }

    /// The defined role of this name, as it is in this transaction.
    pub fn row(&self, role: RoleName) -> Option<&RoleRow> {
        self.rows.get(role.as_str())
    }

    fn may_grant(&self, other: &RoleContent) -> Result<(), OperatorGrantError> {
        let beyond = |lacking| OperatorGrantError::Beyond { role: other.role().name(), lacking };
        self.access.operators().may_grant(&self.own, other).map_err(beyond)
    }
}

/// Whether an operator with this role holds a permission, as the transaction sees it.
pub async fn holds(
    tx: &mut PlatformTx,
    access: &AccessRegistry,
    role: RoleName,
    needs: OperatorPermission,
) -> DbResult<bool> {
    let rows = rows(tx).await?;
    let held = content(access, &rows, role).role().permissions();
    Ok(access.operator_bit(needs).is_some_and(|bit| held.contains(bit)))
}

async fn rows(tx: &mut PlatformTx) -> DbResult<BTreeMap<String, RoleRow>> {
    let rows = operator_roles::list(tx).await?;
    Ok(rows.into_iter().map(|row| (row.name.to_string(), row)).collect())
}

fn content(access: &AccessRegistry, rows: &BTreeMap<String, RoleRow>, name: RoleName) -> RoleContent {
    access.operators().content(name, rows.get(name.as_str()).map(|row| row.permissions.as_slice()))
}
