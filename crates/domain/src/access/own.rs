//! Roles that tenants define for their people, and the platform for its operators: how they are written, what they come to hold,
//! and who may give them.
//!
//! The rules are the same on both sides, so they stand on [`Side`]; what is said of the owner holds of the highest role of either.
//!
//! A role is given, taken away, made or changed by those alone who hold all that it holds: they cannot hand on what they lack.
//! What comes later counts, too. A wildcard, or a name that no part of this program declares, will hold permissions that do not
//! exist yet, so it takes the owner, or a role with an entry that covers it. What built-in roles come to hold is decided by the
//! program that brings it; they are compared by what they hold now.

use super::{
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

    fn covers(&self, top: RoleName, entry: &PermissionPattern) -> bool {
        match &self.kind {
            Kind::BuiltIn => self.role.name() == top,
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
    /// Only a tenant's people and programs can hold it.
    #[error("is a permission of tenants, which no role of an operator holds")]
    OfTenants,
    /// Nothing like it exists.
    #[error("must be a permission that exists, {}", told(.near, *.top))]
    Unknown {
        /// Those that are written nearly so.
        near: Vec<String>,
        /// The role that holds all of them.
        top: RoleName,
    },
}

fn told(near: &[String], top: RoleName) -> String {
    if near.is_empty() {
        format!("one of those that the role {top} holds")
    } else {
        format!("like {}", alternatives(near))
    }
}

/// The tenants' side, which most callers mean.
impl AccessRegistry {
    /// [`Side::scope`] of the tenants' side.
    pub fn scope(&self, entries: &[impl AsRef<str>]) -> PermissionSet {
        self.tenants().scope(entries)
    }

    /// [`Side::narrowed`] of the tenants' side.
    pub fn narrowed(&self, role: &RoleContent, entries: &[String]) -> RoleContent {
        self.tenants().narrowed(role, entries)
    }

    /// Whether every tenant has a role of this name.
    pub fn is_built_in(&self, name: RoleName) -> bool {
        self.tenants().is_built_in(name)
    }

    /// [`Side::own_role`] of a tenant.
    pub fn own_role(&self, name: RoleName, entries: &[impl AsRef<str>]) -> Role {
        self.tenants().own_role(name, entries)
    }

    /// [`Side::content`] of a tenant's role.
    pub fn content(&self, name: RoleName, own: Option<&[String]>) -> RoleContent {
        self.tenants().content(name, own)
    }

    /// [`Side::may_grant`] for a tenant's principal.
    pub fn may_grant(&self, own: &RoleContent, other: &RoleContent) -> Result<(), Lacking> {
        self.tenants().may_grant(own, other)
    }

    /// [`Side::read_role`] of a tenant.
    pub fn read_role(&self, text: &str) -> Result<RoleName, UnknownRole> {
        self.tenants().read_role(text)
    }

    /// [`read_own_role`].
    pub fn read_own_role(&self, text: &str) -> Result<RoleName, TextError> {
        read_own_role(text)
    }

    /// [`Side::unknown_role`] of a tenant.
    pub fn unknown_role(&self) -> UnknownRole {
        self.tenants().unknown_role()
    }

    /// An entry that a person puts into a tenant's own role: it has to stand for something that exists.
    pub fn read_entry(&self, text: &str) -> Result<PermissionPattern, EntryError> {
        self.tenants().read_entry(self.operators(), EntryError::OfOperators, text)
    }

    /// An entry that an operator puts into a role of operators: it has to stand for something that exists.
    pub fn read_operator_entry(&self, text: &str) -> Result<PermissionPattern, EntryError> {
        self.operators().read_entry(self.tenants(), EntryError::OfTenants, text)
    }
}

/// The name of a role that somebody is going to define: none that every program has, on either side, now or later.
pub fn read_own_role(text: &str) -> Result<RoleName, TextError> {
    let name: RoleName = text.parse()?;
    let built_in =
        BuiltIn::ALL.map(BuiltIn::name).into_iter().chain(BuiltInOperator::ALL.map(BuiltInOperator::name));
    if text.starts_with(LATER) || built_in.into_iter().any(|taken| taken == name) {
        return Err(TextError::new("must not be the name of a built-in role, nor begin with bulkhead_"));
    }
    Ok(name)
}

impl Side {
    /// Whether every program has a role of this name on this side.
    pub fn is_built_in(&self, name: RoleName) -> bool {
        self.known(name).is_some()
    }

    /// A role that somebody has defined, which says that it holds `entries`: what exists of that. What is no permission of this
    /// side, and what cannot be read, holds nothing. The name of a built-in role stays that role.
    pub fn own_role(&self, name: RoleName, entries: &[impl AsRef<str>]) -> Role {
        let entries = entries.iter().map(|entry| PermissionPattern::stored(entry.as_ref()));
        self.content_of(name, Kind::Own(entries.collect())).role
    }

    /// The first of these entries that names a permission which the role does not hold. A wildcard stands for what it holds.
    pub fn first_beyond<'e>(&self, role: &Role, entries: &'e [String]) -> Option<&'e str> {
        let is_beyond = |text: &&String| {
            let entry = PermissionPattern::stored(text);
            !entry.is_wildcard() && !role.permissions().is_superset(self.expand(std::slice::from_ref(&entry)))
        };
        entries.iter().find(is_beyond).map(String::as_str)
    }

    /// The role without these permissions.
    pub fn without(&self, role: Role, withheld: &[impl AsRef<str>]) -> Role {
        let withheld: Vec<_> =
            withheld.iter().map(|entry| PermissionPattern::stored(entry.as_ref())).collect();
        Role::new(role.name(), role.permissions().difference(self.expand(&withheld)))
    }

    /// The role of this name with what decides who may give it. `own` is what the role of this name that somebody has defined
    /// says that it holds; `None` when there is none.
    pub fn content(&self, name: RoleName, own: Option<&[String]>) -> RoleContent {
        let entries = own.map(|entries| entries.iter().map(|entry| PermissionPattern::stored(entry)));
        self.content_of(name, entries.map_or(Kind::Unknown, |entries| Kind::Own(entries.collect())))
    }

    /// What exists of the permissions that these entries stand for.
    pub fn scope(&self, entries: &[impl AsRef<str>]) -> PermissionSet {
        let entries: Vec<_> = entries.iter().map(|entry| PermissionPattern::stored(entry.as_ref())).collect();
        self.expand(&entries)
    }

    /// A role as these entries narrow it, with what decides who may give that: what the role and the entries have in common,
    /// and whatever comes later of the entries. A role that there is not is not narrowed: nothing is known of it.
    pub fn narrowed(&self, role: &RoleContent, entries: &[String]) -> RoleContent {
        if role.is_unknown() {
            return role.clone();
        }
        let entries: Vec<_> = entries.iter().map(|entry| PermissionPattern::stored(entry)).collect();
        let held = role.role.within(self.expand(&entries));
        RoleContent { role: held, kind: Kind::Own(entries) }
    }

    fn content_of(&self, name: RoleName, kind: Kind) -> RoleContent {
        if let Some(role) = self.known(name) {
            return RoleContent { role, kind: Kind::BuiltIn };
        }
        let held = match &kind {
            Kind::Own(entries) => self.expand(entries),
            Kind::BuiltIn | Kind::Unknown => PermissionSet::EMPTY,
        };
        RoleContent { role: Role::new(name, held), kind }
    }

    /// Whether a principal that has `own` may give a role to a person or a key, take it away, make it or change it; what
    /// they lack, if not. A role that neither the program nor the tenant has can only be taken away. What it holds where it is
    /// known cannot be said, so that takes who may make the highest.
    pub fn may_grant(&self, own: &RoleContent, other: &RoleContent) -> Result<(), Lacking> {
        let (holds, needs) = (own.role.permissions(), other.role.permissions());
        let mut missing =
            self.names(needs).filter(|name| self.bit(name).is_none_or(|bit| !holds.contains(bit)));
        if let Some(name) = missing.next() {
            return Err(Lacking(name.to_owned()));
        }
        match &other.kind {
            Kind::BuiltIn => Ok(()),
            Kind::Own(entries) => self.may_hold_later(own, entries),
            Kind::Unknown => {
                let is_held = self.bit(self.makes_the_highest()).is_some_and(|bit| holds.contains(bit));
                if is_held { Ok(()) } else { Err(Lacking(self.makes_the_highest().to_owned())) }
            }
        }
    }

    /// Whether a principal that has `own` may hand on what these entries will stand for, too.
    fn may_hold_later(&self, own: &RoleContent, entries: &[PermissionPattern]) -> Result<(), Lacking> {
        let is_later = |entry: &&PermissionPattern| entry.is_wildcard() || self.bit(entry.as_str()).is_none();
        let mut later = entries.iter().filter(is_later);
        later
            .find(|entry| !own.covers(self.top(), entry))
            .map_or(Ok(()), |entry| Err(Lacking(entry.to_string())))
    }

    /// The name of a role that a person has written: a built-in one, or one that somebody may have defined.
    pub fn read_role(&self, text: &str) -> Result<RoleName, UnknownRole> {
        if let Ok(built_in) = self.parse(text) {
            return Ok(built_in);
        }
        read_own_role(text).map_err(|_reserved| self.unknown_role())
    }

    fn read_entry(
        &self,
        others: &Self,
        of_others: EntryError,
        text: &str,
    ) -> Result<PermissionPattern, EntryError> {
        let entry: PermissionPattern = text.parse()?;
        if self.all().any(|name| entry.covers_text(name)) {
            return Ok(entry);
        }
        if !entry.is_wildcard() && others.bit(text).is_some() {
            return Err(of_others);
        }
        Err(EntryError::Unknown { near: self.near(&entry), top: self.top() })
    }

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
