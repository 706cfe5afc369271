//! Roles and permissions: who may do what.
//!
//! A permission is written `action:resource` and is declared together with the roles that hold it: a new one does not
//! compile before that is decided, and a new role holds nothing until it is named. A principal has exactly one role.
//! Operators have permissions of their own type, so an operator's route cannot be opened with a tenant's permission by mistake.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::text::TextError;

macro_rules! permissions {
    ($(#[$doc:meta])* $name:ident of $role:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $text:literal, held by [$($holder:ident),*];)*
    }) => {
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

            /// The roles that hold the permission; every other role lacks it.
            const fn holders(self) -> &'static [$role] {
                match self { $(Self::$variant => &[$($role::$holder),*],)* }
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
    Permission of Role {
        /// See the tenant's people.
        ReadUsers = "read:users", held by [Owner, Admin, Developer];
        /// Add, change and remove the tenant's people.
        WriteUsers = "write:users", held by [Owner, Admin];
        /// See the tenant's API keys (never their secrets).
        ReadApiKeys = "read:api_keys", held by [Owner, Admin, Developer];
        /// Make and revoke API keys.
        WriteApiKeys = "write:api_keys", held by [Owner, Admin, Developer];
        /// See business objects.
        ReadResources = "read:resources", held by [Owner, Admin, Developer, ReadOnly];
        /// Make, change and remove business objects.
        WriteResources = "write:resources", held by [Owner, Admin, Developer];
        /// See background jobs and operations.
        ReadJobs = "read:jobs", held by [Owner, Admin, Developer, ReadOnly];
        /// See usage and usage reports.
        ReadUsage = "read:usage", held by [Owner, Admin, Developer, ReadOnly];
        /// See scaling decisions.
        ReadScaling = "read:scaling", held by [Owner, Admin, Developer, ReadOnly];
        /// See the audit log.
        ReadAudit = "read:audit", held by [Owner, Admin];
    }
}

permissions! {
    /// What an operator may be allowed to do.
    OperatorPermission of OperatorRole {
        /// See tenants and their state.
        ReadTenants = "read:tenants", held by [Admin, Support, Billing];
        /// Create, change, suspend, activate, delete and restore tenants, and retry what they wait for.
        WriteTenants = "write:tenants", held by [Admin];
        /// See operations and jobs of the platform.
        ReadOperations = "read:operations", held by [Admin, Support];
        /// See every tenant's usage.
        ReadAllUsage = "read:all_usage", held by [Admin, Support, Billing];
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
    pub fn allows(self, permission: Permission) -> bool {
        permission.holders().contains(&self)
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
    pub fn allows(self, permission: OperatorPermission) -> bool {
        permission.holders().contains(&self)
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

    /// A line for each permission with a mark for each role: what stands in the tests below is a decision for every pair.
    fn grid<P: fmt::Display + Copy, R: Copy>(
        permissions: &[P],
        roles: &[R],
        allows: impl Fn(R, P) -> bool,
    ) -> String {
        let mark = |allowed: bool| if allowed { 'x' } else { '.' };
        let line = |permission: &P| {
            let marks: Vec<String> =
                roles.iter().map(|role| mark(allows(*role, *permission)).to_string()).collect();
            format!("{:<16}{}", permission.to_string(), marks.join(" "))
        };
        permissions.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// `expected` without what indents it.
    fn assert_grid(grid: &str, expected: &str) {
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(grid, expected.join("\n"), "is it decided who holds each permission?");
    }

    #[test]
    fn for_every_permission_and_every_role_it_is_said_who_holds_it() {
        let [owner, admin, developer, read_only] = Role::ALL;
        assert_grid(
            &grid(Permission::ALL, &[owner, admin, developer, read_only], Role::allows),
            "
            read:users      x x x .
            write:users     x x . .
            read:api_keys   x x x .
            write:api_keys  x x x .
            read:resources  x x x x
            write:resources x x x .
            read:jobs       x x x x
            read:usage      x x x x
            read:scaling    x x x x
            read:audit      x x . .
            ",
        );
        let [admin, support, billing] = OperatorRole::ALL;
        assert_grid(
            &grid(OperatorPermission::ALL, &[admin, support, billing], OperatorRole::allows),
            "
            read:tenants    x x x
            write:tenants   x . .
            read:operations x x .
            read:all_usage  x x x
            ",
        );
    }

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
