//! The permissions that exist in a process, and what each role holds of them.

use super::{
    core_list::{CORE, operator_permission, permission},
    declaration::{OperatorPermission, Permission, PermissionList},
    role::{BuiltIn, BuiltInOperator, Known, Role, RoleName},
    set::{PermissionBit, PermissionSet},
};
use crate::text;

/// Why permissions cannot be joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Two declarations of one permission.
    #[error("the permission {permission} is declared by {first} and by {second}")]
    Twice {
        /// The permission.
        permission: String,
        /// The part of the program that has declared it.
        first: &'static str,
        /// The part of the program that has declared it again.
        second: &'static str,
    },
    /// A role lacks what a role below it holds.
    #[error(
        "the permission {permission} of {owner} is held by {below} and not by {above}, which is above it"
    )]
    NotNested {
        /// The permission.
        permission: String,
        /// The part of the program that has declared it.
        owner: &'static str,
        /// The role that holds it.
        below: RoleName,
        /// The role that lacks it.
        above: RoleName,
    },
    /// No role holds it, so no request could ever need it and be granted.
    #[error("the permission {permission} of {owner} is held by no role")]
    Unheld {
        /// The permission.
        permission: String,
        /// The part of the program that has declared it.
        owner: &'static str,
    },
    /// There are no numbers left.
    #[error(
        "the permission {permission} of {owner} is one too many: there may be {} of them",
        PermissionBit::COUNT
    )]
    TooMany {
        /// The first that has no number.
        permission: String,
        /// The part of the program that has declared it.
        owner: &'static str,
    },
}

/// A text names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {}{}", text::alternatives(.known), or_listed(*.list))]
pub struct UnknownRole {
    known: Vec<RoleName>,
    /// Where all roles are listed, if there may be others than those that are known.
    list: Option<&'static str>,
}

fn or_listed(list: Option<&str>) -> String {
    list.map(|list| format!(", or another one that {list} lists")).unwrap_or_default()
}

/// The permissions that exist in a process, and what each role holds of them.
#[derive(Clone, Debug)]
pub struct AccessRegistry {
    tenants: Side,
    operators: Side,
}

impl AccessRegistry {
    /// Joins the core's permissions and those of the other parts, in this order.
    pub fn assemble(others: &[PermissionList]) -> Result<Self, AccessError> {
        let mut bits = (0..=u8::MAX).map(PermissionBit::new);
        let mut tenants = Side::of(&OF_TENANTS, &BuiltIn::ALL);
        let mut operators = Side::of(&OF_OPERATORS, &BuiltInOperator::ALL);
        for list in std::iter::once(&CORE).chain(others) {
            for def in list.tenants {
                tenants.declare(list.owner, def.permission.as_str(), def.held_by, &mut bits)?;
            }
            for def in list.operators {
                operators.declare(list.owner, def.permission.as_str(), def.held_by, &mut bits)?;
            }
        }
        Ok(Self { tenants, operators })
    }

    /// Tenants' principals: their roles and permissions.
    pub const fn tenants(&self) -> &Side {
        &self.tenants
    }

    /// Operators: their roles and permissions.
    pub const fn operators(&self) -> &Side {
        &self.operators
    }

    /// The number of a tenants' permission; `None` if no list declares it.
    pub fn bit(&self, permission: Permission) -> Option<PermissionBit> {
        self.tenants.bit(permission.as_str())
    }

    /// The number of an operators' permission; `None` if no list declares it.
    pub fn operator_bit(&self, permission: OperatorPermission) -> Option<PermissionBit> {
        self.operators.bit(permission.as_str())
    }
}

/// What is said of a side.
#[derive(Debug)]
struct About {
    /// What stands before a permission of this side where both sides are named.
    prefix: &'static str,
    /// Its highest role, which holds everything.
    top: RoleName,
    /// The permission to make others the highest.
    makes_the_highest: &'static str,
    /// Where its roles are listed.
    list: &'static str,
}

static OF_TENANTS: About = About {
    prefix: "",
    top: RoleName::OWNER,
    makes_the_highest: permission::WRITE_OWNERS.as_str(),
    list: "/v1/roles",
};

static OF_OPERATORS: About = About {
    prefix: "operator ",
    top: RoleName::ADMIN,
    makes_the_highest: operator_permission::WRITE_OPERATORS.as_str(),
    list: "/v1/admin/roles",
};

/// The roles and permissions of one side: of tenants' principals, or of operators.
#[derive(Clone, Debug)]
pub struct Side {
    about: &'static About,
    /// In the order of their declaration.
    permissions: Vec<Declared>,
    /// The highest first.
    roles: Vec<Role>,
}

#[derive(Clone, Copy, Debug)]
struct Declared {
    name: &'static str,
    owner: &'static str,
    bit: PermissionBit,
}

impl Side {
    fn of<R: Known>(about: &'static About, roles: &[R]) -> Self {
        let roles = roles.iter().map(|role| Role::new(role.name(), PermissionSet::EMPTY)).collect();
        Self { about, permissions: Vec::new(), roles }
    }

    /// The highest role, which holds everything.
    pub const fn top(&self) -> RoleName {
        self.about.top
    }

    /// The permission to make others the highest.
    pub(super) const fn makes_the_highest(&self) -> &'static str {
        self.about.makes_the_highest
    }

    fn declare<R: Known>(
        &mut self,
        owner: &'static str,
        name: &'static str,
        held_by: &[R],
        bits: &mut impl Iterator<Item = PermissionBit>,
    ) -> Result<(), AccessError> {
        let permission = format!("{}{name}", self.about.prefix);
        if let Some(first) = self.permissions.iter().find(|declared| declared.name == name) {
            return Err(AccessError::Twice { permission, first: first.owner, second: owner });
        }
        if held_by.is_empty() {
            return Err(AccessError::Unheld { permission, owner });
        }
        for above in R::ALL.iter().filter(|role| !held_by.contains(role)) {
            if let Some(below) = above.includes().iter().find(|role| held_by.contains(role)) {
                let (below, above) = (below.name(), above.name());
                return Err(AccessError::NotNested { permission, owner, below, above });
            }
        }
        let Some(bit) = bits.next() else { return Err(AccessError::TooMany { permission, owner }) };
        self.permissions.push(Declared { name, owner, bit });
        for role in &mut self.roles {
            if held_by.iter().any(|holder| holder.name() == role.name()) {
                *role = Role::new(role.name(), role.permissions().with(bit));
            }
        }
        Ok(())
    }

    pub(super) fn bit(&self, name: &str) -> Option<PermissionBit> {
        self.permissions.iter().find(|declared| declared.name == name).map(|declared| declared.bit)
    }

    /// The built-in role of this name.
    pub(super) fn known(&self, name: RoleName) -> Option<Role> {
        self.roles.iter().copied().find(|role| role.name() == name)
    }

    /// The built-in role of this name with what it holds; any other role holds nothing here.
    pub fn role(&self, name: RoleName) -> Role {
        self.known(name).unwrap_or(Role::new(name, PermissionSet::EMPTY))
    }

    /// Every built-in role, the highest first.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The name of a built-in role that a person has written.
    pub fn parse(&self, text: &str) -> Result<RoleName, UnknownRole> {
        let mut names = self.roles.iter().map(Role::name);
        names.find(|name| name.as_str() == text).ok_or_else(|| self.unknown())
    }

    fn unknown(&self) -> UnknownRole {
        UnknownRole { known: self.roles.iter().map(Role::name).collect(), list: None }
    }

    /// What is said of the name of a role that there is not, where somebody may have defined roles besides.
    pub fn unknown_role(&self) -> UnknownRole {
        UnknownRole { list: Some(self.about.list), ..self.unknown() }
    }

    /// The names of all permissions, in the order of their declaration.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static str> {
        self.permissions.iter().map(|declared| declared.name)
    }

    /// The names of the permissions in a set, as `action:resource`, in the order of their declaration.
    pub fn names(&self, set: PermissionSet) -> impl Iterator<Item = &'static str> {
        self.permissions
            .iter()
            .filter(move |declared| set.contains(declared.bit))
            .map(|declared| declared.name)
    }
}
