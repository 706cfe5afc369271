//! Roles that tenants define: how they are written, what they come to hold, and who may give them.
//!
//! A role is given, taken away, made or changed by those alone who hold all that it holds: they cannot hand on what they lack.
//! What comes later counts, too. A wildcard, or a name that no part of this program declares, will hold permissions that do not
//! exist yet, so it takes the owner, or a role with an entry that covers it. What built-in roles come to hold is decided by the
//! program that brings it; they are compared by what they hold now.

use super::{
    core_list::permission,
    pattern::PermissionPattern,
    registry::{AccessRegistry, Side, UnknownRole},
    role::{BuiltIn, BuiltInOperator, Role, RoleName},
    set::PermissionSet,
};
use crate::text::{TextError, alternatives};

/// What the names of built-in roles begin with that later releases bring: no tenant's own role may be called so, as it would
/// come to hold what another one was made for.
const LATER: &str = "bulkhead_";

/// How far a word may be from another one that is named in its place: letters added, left out or changed.
const NEAR: usize = 2;

/// A role with all that decides who may give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleContent {
    role: Role,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    BuiltIn,
    Own(Vec<PermissionPattern>),
    /// Neither this program nor the tenant has it.
    Unknown,
}

impl RoleContent {
    /// The role with what it holds now.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whether there is no such role.
    pub const fn is_unknown(&self) -> bool {
        matches!(self.kind, Kind::Unknown)
    }

    fn is_owner(&self) -> bool {
        self.kind == Kind::BuiltIn && self.role.name() == RoleName::OWNER
    }

    fn covers(&self, entry: &PermissionPattern) -> bool {
        match &self.kind {
            Kind::BuiltIn => self.is_owner(),
            Kind::Own(entries) => entries.iter().any(|own| own.covers(entry)),
            Kind::Unknown => false,
        }
    }
}

/// Something that a role holds and those who would give it do not: a permission, or an entry that stands for later ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Lacking(pub String);

/// Why an entry cannot be put into a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It is not written as entries are.
    #[error(transparent)]
    Form(#[from] TextError),
    /// Only operators can hold it.
    #[error("is a permission of operators, which no role of a tenant holds")]
    OfOperators,
    /// Nothing like it exists.
    #[error("must be a permission that exists, {}", told(.near))]
    Unknown {
        /// Those that are written nearly so.
        near: Vec<String>,
    },
}

fn told(near: &[String]) -> String {
    if near.is_empty() {
        "one of those that the role owner holds".to_owned()
    } else {
        format!("like {}", alternatives(near))
    }
}

impl AccessRegistry {
    /// Whether every tenant has a role of this name.
    pub fn is_built_in(&self, name: RoleName) -> bool {
        self.tenants().known(name).is_some()
    }

    /// A tenant's own role, which says that it holds `entries`: what exists of that. What is no permission of tenants, and what
    /// cannot be read, holds nothing. The name of a built-in role stays that role.
    pub fn own_role(&self, name: RoleName, entries: &[impl AsRef<str>]) -> Role {
        let entries = entries.iter().map(|entry| PermissionPattern::stored(entry.as_ref()));
        self.content_of(name, Kind::Own(entries.collect())).role
    }

    /// The role of this name with what decides who may give it. `own` is what the tenant's own role of this name says that it
    /// holds; `None` when the tenant has none.
    pub fn content(&self, name: RoleName, own: Option<&[String]>) -> RoleContent {
        let entries = own.map(|entries| entries.iter().map(|entry| PermissionPattern::stored(entry)));
        self.content_of(name, entries.map_or(Kind::Unknown, |entries| Kind::Own(entries.collect())))
    }

    /// What exists of the permissions that these entries stand for.
    pub fn scope(&self, entries: &[impl AsRef<str>]) -> PermissionSet {
        let entries: Vec<_> = entries.iter().map(|entry| PermissionPattern::stored(entry.as_ref())).collect();
        self.tenants().expand(&entries)
    }

    /// A role as these entries narrow it, with what decides who may give that: what the role and the entries have in common,
    /// and whatever comes later of the entries. A role that there is not is not narrowed: nothing is known of it.
    pub fn narrowed(&self, role: &RoleContent, entries: &[String]) -> RoleContent {
        if role.is_unknown() {
            return role.clone();
        }
        let entries: Vec<_> = entries.iter().map(|entry| PermissionPattern::stored(entry)).collect();
        let held = role.role.within(self.tenants().expand(&entries));
        RoleContent { role: held, kind: Kind::Own(entries) }
    }

    fn content_of(&self, name: RoleName, kind: Kind) -> RoleContent {
        if let Some(role) = self.tenants().known(name) {
            return RoleContent { role, kind: Kind::BuiltIn };
        }
        let held = match &kind {
            Kind::Own(entries) => self.tenants().expand(entries),
            Kind::BuiltIn | Kind::Unknown => PermissionSet::EMPTY,
        };
        RoleContent { role: Role::new(name, held), kind }
    }

    /// Whether a tenant's principal that has `own` may give a role to a person or a key, take it away, make it or change it; what
    /// they lack, if not. A role that neither the program nor the tenant has can only be taken away. What it holds where it is
    /// known cannot be said, so that takes an owner.
    pub fn may_grant(&self, own: &RoleContent, other: &RoleContent) -> Result<(), Lacking> {
        let (holds, needs) = (own.role.permissions(), other.role.permissions());
        let mut missing = self
            .tenants()
            .names(needs)
            .filter(|name| self.tenants().bit(name).is_none_or(|bit| !holds.contains(bit)));
        if let Some(name) = missing.next() {
            return Err(Lacking(name.to_owned()));
        }
        match &other.kind {
            Kind::BuiltIn => Ok(()),
            Kind::Own(entries) => {
                let is_later = |entry: &&PermissionPattern| {
                    entry.is_wildcard() || self.tenants().bit(entry.as_str()).is_none()
                };
                let mut later = entries.iter().filter(is_later);
                later
                    .find(|entry| !own.is_owner() && !own.covers(entry))
                    .map_or(Ok(()), |entry| Err(Lacking(entry.to_string())))
            }
            Kind::Unknown => {
                let owners = self.bit(permission::WRITE_OWNERS);
                let is_owners = owners.is_some_and(|bit| holds.contains(bit));
                if is_owners { Ok(()) } else { Err(Lacking(permission::WRITE_OWNERS.to_string())) }
            }
        }
    }

    /// The name of a tenant's role that a person has written: a built-in one, or one that the tenant may have.
    pub fn read_role(&self, text: &str) -> Result<RoleName, UnknownRole> {
        if let Ok(built_in) = self.tenants().parse(text) {
            return Ok(built_in);
        }
        self.read_own_role(text).map_err(|_reserved| self.unknown_role())
    }

    /// The name of a role that a tenant is going to have of its own.
    pub fn read_own_role(&self, text: &str) -> Result<RoleName, TextError> {
        let name: RoleName = text.parse()?;
        let built_in = BuiltIn::ALL
            .map(BuiltIn::name)
            .into_iter()
            .chain(BuiltInOperator::ALL.map(BuiltInOperator::name));
        if text.starts_with(LATER) || built_in.into_iter().any(|taken| taken == name) {
            return Err(TextError::new("must not be the name of a built-in role, nor begin with bulkhead_"));
        }
        Ok(name)
    }

    /// What is said of the name of a tenant's role that there is not.
    pub fn unknown_role(&self) -> UnknownRole {
        self.tenants().unknown().or_own()
    }

    /// An entry that a person puts into a tenant's own role: it has to stand for something that exists.
    pub fn read_entry(&self, text: &str) -> Result<PermissionPattern, EntryError> {
        let entry: PermissionPattern = text.parse()?;
        if self.tenants().all().any(|name| entry.covers_text(name)) {
            return Ok(entry);
        }
        if !entry.is_wildcard() && self.operators().bit(text).is_some() {
            return Err(EntryError::OfOperators);
        }
        let near = self.tenants().near(&entry);
        Err(EntryError::Unknown { near })
    }
}

impl Side {
    /// The permissions that exist of what the entries stand for.
    fn expand(&self, entries: &[PermissionPattern]) -> PermissionSet {
        let held = self.all().filter(|name| entries.iter().any(|entry| entry.covers_text(name)));
        held.filter_map(|name| self.bit(name)).fold(PermissionSet::EMPTY, PermissionSet::with)
    }

    /// At most three entries that are written nearly as this one and stand for something.
    fn near(&self, entry: &PermissionPattern) -> Vec<String> {
        let (action, resource) = entry.parts();
        let mut near: Vec<(usize, String)> = Vec::new();
        for name in self.all() {
            let (own_action, own_resource) = name.split_once(':').unwrap_or_default();
            let alike = if action == "*" { "*" } else { own_action };
            let like = if resource == "*" { "*" } else { own_resource };
            let (Some(one), Some(other)) = (distance(action, alike), distance(resource, like)) else {
                continue;
            };
            let candidate = format!("{alike}:{like}");
            if one + other <= NEAR && near.iter().all(|(_, known)| *known != candidate) {
                near.push((one + other, candidate));
            }
        }
        near.sort_by_key(|(distance, _)| *distance);
        near.into_iter().take(3).map(|(_, name)| name).collect()
    }
}

/// How many letters have to be added, left out or changed to make one word of the other; `None` when more than [`NEAR`].
fn distance(one: &str, other: &str) -> Option<usize> {
    if one.len().abs_diff(other.len()) > NEAR {
        return None;
    }
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.bytes().enumerate() {
        let (mut line, mut diagonal) = (vec![row + 1], row);
        for (up, letter_of_other) in above.iter().skip(1).zip(other.bytes()) {
            let left = line.last().copied().unwrap_or_default();
            let changed = diagonal + usize::from(letter != letter_of_other);
            line.push(changed.min(left + 1).min(up + 1));
            diagonal = *up;
        }
        if line.iter().all(|distance| *distance > NEAR) {
            return None;
        }
        above = line;
    }
    above.last().copied().filter(|distance| *distance <= NEAR)
}
