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
        api_keys::{self, ApiKeyRow, Chain, Grantor, Lock},
        roles::{self, RoleRow},
        users,
    },
};
use bulkhead_domain::{
    AccessRegistry, ApiKeyId, Permission, PermissionSet, RoleName, UserId,
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

/// What a caller is now, as rows say that the transaction has locked: a role, and for an API key whatever bounds that. To be
/// allowed something, all of it has to allow it.
#[derive(Clone, Debug)]
pub struct Caller {
    links: Vec<Link>,
}

#[derive(Clone, Debug)]
enum Link {
    Role(RoleName),
    /// A role that a key has, and what narrows it.
    Narrowed(RoleName, Vec<String>),
    /// Someone above the key is gone, or in force no more.
    Nothing,
}

impl From<RoleName> for Caller {
    fn from(role: RoleName) -> Self {
        Self { links: vec![Link::Role(role)] }
    }
}

impl Caller {
    /// The names of the roles.
    fn names(&self) -> impl Iterator<Item = RoleName> {
        self.links.iter().filter_map(|link| match link {
            Link::Role(name) | Link::Narrowed(name, _) => Some(*name),
            Link::Nothing => None,
        })
    }
}

/// The person who answers for what the caller does: the caller, or the one at the end of the key's chain. Nothing is locked.
pub async fn person_behind(tx: &mut TenantTx, caller: &Principal) -> DbResult<Option<UserId>> {
    match *caller {
        Principal::User { id, .. } => Ok(Some(id)),
        Principal::ApiKey { id, .. } => Ok(api_keys::chain(tx, id).await?.person),
        Principal::Operator { .. } | Principal::OperatorKey { .. } => Ok(None),
    }
}

/// What the caller is now, their row locked until the transaction ends, and those of all above them if they are a key. `None`
/// when they are gone, and for an operator, who has no row here.
pub async fn lock_caller(tx: &mut TenantTx, caller: &Principal) -> DbResult<Option<Caller>> {
    Ok(lock_caller_and(tx, caller, &[]).await?.0)
}

/// The same, and these keys locked to be changed, all keys by one statement. Those of them that there are.
pub async fn lock_caller_and(
    tx: &mut TenantTx,
    caller: &Principal,
    keys: &[ApiKeyId],
) -> DbResult<(Option<Caller>, Vec<ApiKeyRow>)> {
    let chain = match *caller {
        Principal::User { id, .. } => Chain { keys: Vec::new(), person: Some(id) },
        Principal::ApiKey { id, .. } => api_keys::chain(tx, id).await?,
        Principal::Operator { .. } | Principal::OperatorKey { .. } => {
            Chain { keys: Vec::new(), person: None }
        }
    };
    lock_chain(tx, &chain, keys).await
}

/// The same for the subject of a credential that is not the caller's: who has sent an invitation. `None` for one that is of no person
/// and no key.
pub async fn lock_subject(tx: &mut TenantTx, subject: &str) -> DbResult<Option<Caller>> {
    let chain = match (subject.parse::<UserId>(), subject.parse::<ApiKeyId>()) {
        (Ok(id), _) => Chain { keys: Vec::new(), person: Some(id) },
        (_, Ok(id)) => api_keys::chain(tx, id).await?,
        _ => return Ok(None),
    };
    Ok(lock_chain(tx, &chain, &[]).await?.0)
}

async fn lock_chain(
    tx: &mut TenantTx,
    chain: &Chain,
    keys: &[ApiKeyId],
) -> DbResult<(Option<Caller>, Vec<ApiKeyRow>)> {
    let person = match chain.person {
        Some(person) => users::lock_role(tx, person).await?,
        None => None,
    };
    let all: Vec<ApiKeyId> = chain.keys.iter().chain(keys).copied().collect();
    let how = if keys.is_empty() { Lock::Shared } else { Lock::Change };
    let locked = if all.is_empty() { Vec::new() } else { api_keys::lock(tx, &all, how).await? };
    let caller =
        if chain.keys.is_empty() { person.map(Caller::from) } else { links_of(chain, &locked, person)? };
    Ok((caller, locked.into_iter().filter(|key| keys.contains(&key.id)).collect()))
}

/// What a key is, with all above it. A chain that has changed before it was locked is to be read again: [`DbError::Conflict`].
fn links_of(chain: &Chain, locked: &[ApiKeyRow], person: Option<RoleName>) -> DbResult<Option<Caller>> {
    let mut links = Vec::new();
    for (at, id) in chain.keys.iter().enumerate() {
        let row = locked.iter().find(|key| key.id == *id);
        let above = match (chain.keys.get(at + 1), chain.person) {
            (Some(key), _) => Some(Grantor::Key(*key)),
            (None, person) => person.map(Grantor::User),
        };
        match row {
            Some(row) if row.revoked_at.is_none() && row.disabled_at.is_none() => {
                if above.is_some_and(|above| above != row.grantor()) {
                    return Err(DbError::Conflict);
                }
                links.push(Link::Role(row.role));
                links.extend(row.scopes.clone().map(|scopes| Link::Narrowed(row.role, scopes)));
            }
            // The caller itself.
            _ if at == 0 => return Ok(None),
            _ => links.push(Link::Nothing),
        }
    }
    links.push(person.map_or(Link::Nothing, Link::Role));
    Ok(Some(Caller { links }))
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

/// What the caller is, and the roles that a transaction is about.
#[derive(Debug)]
pub struct Grants<'a> {
    access: &'a AccessRegistry,
    /// What the caller is: each of them has to hold what is asked for.
    own: Vec<RoleContent>,
    rows: BTreeMap<String, RoleRow>,
}

impl<'a> Grants<'a> {
    /// Reads the roles, and locks them as it is said. `own` is what the caller is, of rows that this transaction has locked where
    /// it writes; `needs` is the operation's permission.
    pub async fn read(
        tx: &mut TenantTx,
        access: &'a AccessRegistry,
        own: Option<Caller>,
        needs: Permission,
        named: &[RoleName],
        hold: Hold,
    ) -> Result<Self, GrantError> {
        let own = own.ok_or(GrantError::Gone)?;
        let is_own = |name: &RoleName| !access.is_built_in(*name);
        let names: Vec<RoleName> = named.iter().copied().chain(own.names()).filter(is_own).collect();
        let rows = match hold {
            _ if names.is_empty() => Vec::new(),
            Hold::Look => roles::find_all(tx, &names).await?,
            Hold::Give => roles::lock_shared(tx, &names).await?,
            Hold::Change => roles::lock(tx, &names).await?,
        };
        let rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.name.to_string(), row)).collect();
        let role = |name| content(access, &rows, name);
        let own = own.links.iter().map(|link| match link {
            Link::Role(name) => Some(role(*name)),
            Link::Narrowed(name, scopes) => Some(access.narrowed(&role(*name), scopes)),
            Link::Nothing => None,
        });
        let own: Vec<RoleContent> = own.collect::<Option<_>>().ok_or(GrantError::Forbidden(needs))?;
        let grants = Self { access, own, rows };
        grants.needs(needs)?;
        Ok(grants)
    }

    /// Refuses a caller who does not hold this permission now.
    pub fn needs(&self, permission: Permission) -> Result<(), GrantError> {
        let holds = |bit| self.own.iter().all(|own| own.role().permissions().contains(bit));
        if self.access.bit(permission).is_some_and(holds) {
            Ok(())
        } else {
            Err(GrantError::Forbidden(permission))
        }
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

    /// Whether the caller may make, enable, or answer for a key with this role and what narrows it: they may give the role, or
    /// what is left of it.
    pub fn may_give_key(&self, role: RoleName, scopes: Option<&[String]>) -> Result<(), GrantError> {
        if content(self.access, &self.rows, role).is_unknown() {
            return Err(self.access.unknown_role().into());
        }
        self.may_take_key(role, scopes)
    }

    /// Whether the caller may change or revoke a key with this role and what narrows it.
    pub fn may_take_key(&self, role: RoleName, scopes: Option<&[String]>) -> Result<(), GrantError> {
        let whole = content(self.access, &self.rows, role);
        let given = self.may_grant(&whole);
        match scopes {
            Some(scopes) if given.is_err() => self.may_grant(&self.access.narrowed(&whole, scopes)),
            _ => given,
        }
    }

    /// What a role holds, as it is in this transaction.
    pub fn held(&self, role: RoleName) -> PermissionSet {
        content(self.access, &self.rows, role).role().permissions()
    }

    /// The tenant's own role of this name, as it is in this transaction.
    pub fn row(&self, role: RoleName) -> Option<&RoleRow> {
        self.rows.get(role.as_str())
    }

    fn may_grant(&self, other: &RoleContent) -> Result<(), GrantError> {
        let beyond = |lacking| GrantError::Beyond { role: other.role().name(), lacking };
        self.own.iter().try_for_each(|own| self.access.may_grant(own, other)).map_err(beyond)
    }
}

fn content(access: &AccessRegistry, rows: &BTreeMap<String, RoleRow>, name: RoleName) -> RoleContent {
    access.content(name, rows.get(name.as_str()).map(|row| row.permissions.as_slice()))
}
