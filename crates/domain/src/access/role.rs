//! Roles: their names, what they hold, and those that every program has.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use super::set::PermissionSet;
use crate::text::TextError;

/// The name of a role: a lower-case letter, then at most 30 lower-case letters, digits and underscores.
///
/// It need not be one that this program knows: rows and tokens may carry a role that the tenant has defined, or that a newer
/// version has made. Such a role has its name here and holds nothing by itself ([`Side::role`](super::Side::role)).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoleName {
    /// Its bytes, and zeros behind them.
    text: [u8; Self::MAX],
    len: u8,
}

impl RoleName {
    /// The longest name, in bytes.
    const MAX: usize = 31;

    /// Of tenants: everything, and the only role that may make other owners.
    pub const OWNER: Self = Self::known("owner");
    /// Of tenants: everything but making or removing owners. Of operators: everything.
    pub const ADMIN: Self = Self::known("admin");
    /// Of tenants: works with business objects and API keys, sees the rest but the audit log.
    pub const DEVELOPER: Self = Self::known("developer");
    /// Of tenants: sees business objects, jobs, usage and scaling; changes nothing.
    pub const READ_ONLY: Self = Self::known("read_only");
    /// Of operators: sees everything, changes nothing.
    pub const SUPPORT: Self = Self::known("support");
    /// Of operators: sees usage of all tenants, and who they are.
    pub const BILLING: Self = Self::known("billing");

    /// One of the names above.
    const fn known(name: &'static str) -> Self {
        let mut text = [0; Self::MAX];
        let (to, _zeros) = text.split_at_mut(name.len());
        to.copy_from_slice(name.as_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "what is longer than 31 has panicked above")]
        let len = name.len() as u8;
        Self { text, len }
    }

    /// The word that the database and the API use.
    pub fn as_str(&self) -> &str {
        self.text.get(..self.len.into()).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl FromStr for RoleName {
    type Err = TextError;

    fn from_str(name: &str) -> Result<Self, TextError> {
        let is_clean = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let is_name =
            name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(is_clean);
        let mut text = [0; Self::MAX];
        match (text.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(to), Ok(len)) if is_name => {
                to.copy_from_slice(name.as_bytes());
                Ok(Self { text, len })
            }
            _ => Err(TextError::new(
                "must be a lower-case letter, then at most 30 lower-case letters, digits and underscores",
            )),
        }
    }
}

impl TryFrom<String> for RoleName {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RoleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A role that a principal has, with what it holds. Only a registry makes one, so that a name never stands beside permissions
/// that are not its own.
///
/// It has 64 bytes and is copied with its principal some four times a request: nanoseconds, beside a signature or a query.
/// Rejected: the role's number in a table of the registry in place of its name (32 bytes less). A role that this program does
/// not know would have no name: it could not be shown, nor compared with the row's, nor written into the next token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    name: RoleName,
    permissions: PermissionSet,
}

impl Role {
    pub(super) const fn new(name: RoleName, permissions: PermissionSet) -> Self {
        Self { name, permissions }
    }

    /// Its name.
    pub const fn name(&self) -> RoleName {
        self.name
    }

    /// The same role as one holds it who is bounded by something else besides, an API key for instance: what is in both. It is
    /// never more than the role.
    #[must_use]
    pub const fn within(self, bound: PermissionSet) -> Self {
        Self { name: self.name, permissions: self.permissions.and(bound) }
    }

    /// What it holds; nothing, if the registry does not know it and it was not looked up among a tenant's own. A role that the
    /// registry knows holds something.
    pub const fn permissions(&self) -> PermissionSet {
        self.permissions
    }
}

/// A role that every program has, for declarations: a name that is misspelt there does not compile.
pub(super) trait Known: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Its name.
    fn name(self) -> RoleName;

    /// The roles directly below it, whose permissions it holds, too.
    fn includes(self) -> &'static [Self];
}

/// The roles that every tenant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltIn {
    /// [`RoleName::OWNER`].
    Owner,
    /// [`RoleName::ADMIN`].
    Admin,
    /// [`RoleName::DEVELOPER`].
    Developer,
    /// [`RoleName::READ_ONLY`].
    ReadOnly,
}

impl BuiltIn {
    /// Every role, the highest first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Developer, Self::ReadOnly];

    /// The role's name.
    pub const fn name(self) -> RoleName {
        match self {
            Self::Owner => RoleName::OWNER,
            Self::Admin => RoleName::ADMIN,
            Self::Developer => RoleName::DEVELOPER,
            Self::ReadOnly => RoleName::READ_ONLY,
        }
    }
}

impl Known for BuiltIn {
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> RoleName {
        self.name()
    }

    fn includes(self) -> &'static [Self] {
        match self {
            Self::Owner => &[Self::Admin],
            Self::Admin => &[Self::Developer],
            Self::Developer => &[Self::ReadOnly],
            Self::ReadOnly => &[],
        }
    }
}

/// The roles that operators have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltInOperator {
    /// [`RoleName::ADMIN`].
    Admin,
    /// [`RoleName::SUPPORT`].
    Support,
    /// [`RoleName::BILLING`].
    Billing,
}

impl BuiltInOperator {
    /// Every role, the highest first.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Support, Self::Billing];

    /// The role's name.
    pub const fn name(self) -> RoleName {
        match self {
            Self::Admin => RoleName::ADMIN,
            Self::Support => RoleName::SUPPORT,
            Self::Billing => RoleName::BILLING,
        }
    }
}

impl Known for BuiltInOperator {
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> RoleName {
        self.name()
    }

    fn includes(self) -> &'static [Self] {
        match self {
            Self::Admin => &[Self::Support, Self::Billing],
            Self::Support | Self::Billing => &[],
        }
    }
}
