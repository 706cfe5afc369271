//! Who may give which role, as the database has it in the transaction that gives it.
//!
//! A credential says what its holder was a moment ago: a node learns of a demotion within seconds, and a person who is being
//! demoted could use them to give away what they are about to lose. So a request to give, take away, make or change a role is
//! decided by rows that the transaction has locked: the caller's own, for the role that they have now, and those of the roles
//! that it is about. A demotion at the same time, a change of a role or its removal waits for this transaction, or this
//! transaction for it. `db/src/tenant/roles.rs` has the order of the locks.
//!
//! Refuses a caller whose role does not hold the permission of the operation any more.

use std::collections::BTreeMap;

use bulkhead_db::{
    DbError, DbResult, TenantTx,
    tenant::{
        api_keys,
        roles::{self, RoleRow},
        users,
    },
};
use bulkhead_domain::{
    AccessRegistry, Permission, RoleName,
    access::{Lacking, RoleContent, UnknownRole},
};

use crate::principal::Principal;

/// Why a role is not given, taken away, made or changed.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The caller was removed, or the key revoked.
    #[error("the caller is gone")]
    Gone,
    /// The caller's role does not hold the permission of the operation, or not any more.
    #[error("the caller's role does not hold {0} any more")]
    Forbidden(Permission),
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
    Database(#[from] DbError),
}

/// The role that the caller has now, their row locked until the transaction ends. `None` when they are gone, and for an operator,
/// who has no row here.
pub async fn lock_caller(tx: &mut TenantTx, caller: &Principal) -> DbResult<Option<RoleName>> {
    match *caller {
        Principal::User { id, .. } => users::lock_role(tx, id).await,
        Principal::ApiKey { id, .. } => api_keys::lock_role(tx, id).await,
        Principal::Operator { .. } => Ok(None),
    }
}

/// How a transaction holds the roles that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It only looks, ahead of expensive work: what it finds is decided again when something is written.
    Look,
    /// It gives them to people or keys, or takes them away: they do not change meanwhile.
    Give,
    /// It changes or removes them: they are not given meanwhile.
    Change,
}

/// The caller's role and those that a transaction is about.
#[derive(Debug)]
pub struct Grants<'a> {
    access: &'a AccessRegistry,
    own: RoleContent,
    rows: BTreeMap<String, RoleRow>,
}

impl<'a> Grants<'a> {
    /// Reads the roles, and locks them as it is said. `own` is the caller's role, of a row that this transaction has locked where
    /// it writes; `needs` is the operation's permission.
    pub async fn read(
        tx: &mut TenantTx,
        access: &'a AccessRegistry,
        own: Option<RoleName>,
        needs: Permission,
        named: &[RoleName],
        hold: Hold,
    ) -> Result<Self, GrantError> {
        let own = own.ok_or(GrantError::Gone)?;
        let is_own = |name: &RoleName| !access.is_built_in(*name);
        let names: Vec<RoleName> = named.iter().copied().chain([own]).filter(is_own).collect();
        let rows = match hold {
            _ if names.is_empty() => Vec::new(),
            Hold::Look => roles::find_all(tx, &names).await?,
            Hold::Give => roles::lock_shared(tx, &names).await?,
            Hold::Change => roles::lock(tx, &names).await?,
        };
        let rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.name.to_string(), row)).collect();
        let own = content(access, &rows, own);
        let needed = access.bit(needs);
        if !needed.is_some_and(|bit| own.role().permissions().contains(bit)) {
            return Err(GrantError::Forbidden(needs));
        }
        Ok(Self { access, own, rows })
    }

    /// Whether the caller may take this role away.
    pub fn may_take(&self, role: RoleName) -> Result<(), GrantError> {
        self.may_grant(&content(self.access, &self.rows, role))
    }

    /// Whether there is such a role and the caller may give it.
    pub fn may_give(&self, role: RoleName) -> Result<(), GrantError> {
        let content = content(self.access, &self.rows, role);
        if content.is_unknown() {
            return Err(self.access.unknown_role().into());
        }
        self.may_grant(&content)
    }

    /// Whether a role holds no more than another one, which the caller may give.
    pub fn is_within(&self, role: RoleName, most: RoleName) -> bool {
        let (most, role) = (content(self.access, &self.rows, most), content(self.access, &self.rows, role));
        !role.is_unknown() && self.access.may_grant(&most, &role).is_ok()
    }

    /// Whether the caller may let the tenant's own role of this name hold these entries.
    pub fn may_hold(&self, role: RoleName, entries: &[String]) -> Result<(), GrantError> {
        self.may_grant(&self.access.content(role, Some(entries)))
    }

    /// The tenant's own role of this name, as it is in this transaction.
    pub fn row(&self, role: RoleName) -> Option<&RoleRow> {
        self.rows.get(role.as_str())
    }

    fn may_grant(&self, other: &RoleContent) -> Result<(), GrantError> {
        let beyond = |lacking| GrantError::Beyond { role: other.role().name(), lacking };
        self.access.may_grant(&self.own, other).map_err(beyond)
    }
}

fn content(access: &AccessRegistry, rows: &BTreeMap<String, RoleRow>, name: RoleName) -> RoleContent {
    access.content(name, rows.get(name.as_str()).map(|row| row.permissions.as_slice()))
}
