//! Roles and permissions: who may do what.
//!
//! A permission is written `action:resource`. A role is a set of them; a principal has exactly one role. Operators have
//! permissions of their own type, so an operator's route cannot be opened with a tenant's permission by mistake.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::text::TextError;

macro_rules! permissions {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every permission.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The permission as `action:resource`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

permissions! {
    /// What a tenant's principal may be allowed to do.
    Permission {
        /// See the tenant's people.
        ReadUsers = "read:users",
        /// Add, change and remove the tenant's people.
        WriteUsers = "write:users",
        /// See the tenant's API keys (never their secrets).
        ReadApiKeys = "read:api_keys",
        /// Make and revoke API keys.
        WriteApiKeys = "write:api_keys",
        /// See business objects.
        ReadResources = "read:resources",
        /// Make, change and remove business objects.
        WriteResources = "write:resources",
        /// See background jobs and operations.
        ReadJobs = "read:jobs",
        /// See usage and usage reports.
        ReadUsage = "read:usage",
        /// See scaling decisions.
        ReadScaling = "read:scaling",
        /// See the audit log.
        ReadAudit = "read:audit",
    }
}

permissions! {
    /// What an operator may be allowed to do.
    OperatorPermission {
        /// See tenants and their state.
        ReadTenants = "read:tenants",
        /// Create, suspend, activate and change tenants.
        WriteTenants = "write:tenants",
        /// See operations and jobs of the platform.
        ReadOperations = "read:operations",
        /// See every tenant's usage.
        ReadAllUsage = "read:all_usage",
    }
}

/// A tenant principal's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, and the only role that may make other owners.
    Owner,
    /// Everything but making or removing owners.
    Admin,
    /// Works with business objects and API keys, sees the rest but the audit log.
    Developer,
    /// Sees business objects, jobs, usage and scaling; changes nothing.
    ReadOnly,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Developer, Self::ReadOnly];

    /// The word the database and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::ReadOnly => "read_only",
        }
    }

    /// Whether the role includes a permission.
    pub const fn allows(self, permission: Permission) -> bool {
        use Permission as P;
        match self {
            Self::Owner | Self::Admin => true,
            Self::Developer => !matches!(permission, P::WriteUsers | P::ReadAudit),
            Self::ReadOnly => {
                matches!(permission, P::ReadResources | P::ReadJobs | P::ReadUsage | P::ReadScaling)
            }
        }
    }

    /// Whether a principal with this role may give `other` to somebody, or take it away: never more than one has.
    pub const fn may_grant(self, other: Self) -> bool {
        match self {
            Self::Owner => true,
            Self::Admin => !matches!(other, Self::Owner),
            Self::Developer => matches!(other, Self::Developer | Self::ReadOnly),
            Self::ReadOnly => false,
        }
    }
}

impl TryFrom<String> for Role {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl FromStr for Role {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(TextError::new("must be owner, admin, developer or read_only"))
    }
}

/// An operator's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorRole {
    /// Everything.
    Admin,
    /// Sees everything, changes nothing.
    Support,
    /// Sees usage of all tenants, and who they are.
    Billing,
}

impl OperatorRole {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Support, Self::Billing];

    /// The word the database and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Support => "support",
            Self::Billing => "billing",
        }
    }

    /// Whether the role includes a permission.
    pub const fn allows(self, permission: OperatorPermission) -> bool {
        use OperatorPermission as P;
        match self {
            Self::Admin => true,
            Self::Support => !matches!(permission, P::WriteTenants),
            Self::Billing => matches!(permission, P::ReadTenants | P::ReadAllUsage),
        }
    }
}

impl TryFrom<String> for OperatorRole {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl FromStr for OperatorRole {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(TextError::new("must be admin, support or billing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_roles_hold_no_permission_to_write() {
        for permission in Permission::ALL.iter().filter(|p| p.as_str().starts_with("write:")) {
            assert!(!Role::ReadOnly.allows(*permission), "{permission}");
        }
        for permission in OperatorPermission::ALL.iter().filter(|p| p.as_str().starts_with("write:")) {
            assert!(!OperatorRole::Support.allows(*permission), "{permission}");
        }
    }

    #[test]
    fn nobody_can_grant_more_than_they_have() {
        for granter in Role::ALL {
            for granted in Role::ALL.into_iter().filter(|granted| granter.may_grant(*granted)) {
                for permission in Permission::ALL.iter().filter(|p| granted.allows(**p)) {
                    assert!(
                        granter.allows(*permission),
                        "{granter:?} granted {permission} through {granted:?}"
                    );
                }
            }
        }
    }
}
