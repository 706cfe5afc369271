//! What an operation asks of its caller's permissions.
//!
//! Owns the step from names to numbers: the route table names permissions, and at start each is looked up in the registry,
//! once. A name that no list declares is an error there. A request then costs the test of one bit.

use bulkhead_auth::Principal;
use bulkhead_domain::{AccessRegistry, OperatorPermission, Permission, PermissionBit};

use crate::http::operation::Access;

/// The permissions that an operation needs, one for each side. A caller has to hold the permission of its own side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// What a tenant's principal has to hold.
    tenant: Option<Needed>,
    /// What an operator has to hold.
    operator: Option<Needed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Needed {
    name: &'static str,
    bit: PermissionBit,
}

impl Needs {
    /// No permission.
    pub(crate) const NOTHING: Self = Self { tenant: None, operator: None };

    /// What `access` asks for; otherwise the name of the permission that `registry` does not know, with its side.
    pub(crate) fn of(access: Access, registry: &AccessRegistry) -> Result<Self, String> {
        let tenant = |permission: Permission| -> Result<_, String> {
            let bit = registry.bit(permission).ok_or_else(|| permission.to_string())?;
            Ok(Some(Needed { name: permission.as_str(), bit }))
        };
        let operator = |permission: OperatorPermission| -> Result<_, String> {
            let bit = registry.operator_bit(permission).ok_or_else(|| format!("operator {permission}"))?;
            Ok(Some(Needed { name: permission.as_str(), bit }))
        };
        match access {
            Access::Public | Access::Session | Access::AnyPrincipal | Access::Person => Ok(Self::NOTHING),
            Access::Tenant(needed) => Ok(Self { tenant: tenant(needed)?, ..Self::NOTHING }),
            Access::Operator(needed) => Ok(Self { operator: operator(needed)?, ..Self::NOTHING }),
            Access::Either(of_tenant, of_operator) => {
                Ok(Self { tenant: tenant(of_tenant)?, operator: operator(of_operator)? })
            }
        }
    }

    /// The permission that the caller lacks: its own side's, or, where the operation is for the other side alone, the
    /// other's, which it never holds.
    pub(crate) fn missing(&self, caller: &Principal) -> Option<&'static str> {
        self.missing_to(caller.is_of_platform(), |bit| caller.holds(bit))
    }

    fn missing_to(&self, is_operator: bool, holds: impl Fn(PermissionBit) -> bool) -> Option<&'static str> {
        let needed = if is_operator { self.operator.or(self.tenant) } else { self.tenant.or(self.operator) };
        needed.filter(|needed| !holds(needed.bit)).map(|needed| needed.name)
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::{RoleName, operator_permission, permission};

    use super::*;

    #[test]
    fn who_lacks_a_permission_is_told_which() {
        use operator_permission::{READ_OPERATIONS, WRITE_TENANTS};
        use permission::{READ_JOBS, WRITE_USERS};
        let registry = AccessRegistry::assemble(&[]).unwrap();
        for (access, missing) in [
            (Access::Public, [None; 4]),
            (Access::Session, [None; 4]),
            (Access::AnyPrincipal, [None; 4]),
            (Access::Person, [None; 4]),
            (
                Access::Tenant(WRITE_USERS),
                [None, Some("write:users"), Some("write:users"), Some("write:users")],
            ),
            (
                Access::Operator(WRITE_TENANTS),
                [Some("write:tenants"), Some("write:tenants"), None, Some("write:tenants")],
            ),
            (Access::Either(READ_JOBS, READ_OPERATIONS), [None, None, None, Some("read:operations")]),
        ] {
            let needs = Needs::of(access, &registry).unwrap();
            let of_tenant = |role| {
                let held = registry.tenants().role(role).permissions();
                needs.missing_to(false, |bit| held.contains(bit))
            };
            let of_operator = |role| {
                let held = registry.operators().role(role).permissions();
                needs.missing_to(true, |bit| held.contains(bit))
            };
            let found = [
                of_tenant(RoleName::OWNER),
                of_tenant(RoleName::READ_ONLY),
                of_operator(RoleName::ADMIN),
                of_operator(RoleName::BILLING),
            ];
            assert_eq!(found, missing, "{access:?}");
        }
    }

    #[test]
    fn a_permission_that_no_list_declares_is_named() {
        let registry = AccessRegistry::assemble(&[]).unwrap();
        let (invoices, ledgers) = (Permission::new("read:invoices"), OperatorPermission::new("read:ledgers"));
        for (access, name) in [
            (Access::Tenant(invoices), "read:invoices"),
            (Access::Operator(ledgers), "operator read:ledgers"),
            (Access::Either(invoices, operator_permission::READ_TENANTS), "read:invoices"),
            (Access::Either(permission::READ_JOBS, ledgers), "operator read:ledgers"),
            // It is declared, but on the other side.
            (Access::Tenant(Permission::new("read:tenants")), "read:tenants"),
        ] {
            assert_eq!(Needs::of(access, &registry), Err(name.to_owned()));
        }
    }
}
