//! Who is calling, once a credential has been verified.
//!
//! Owns the shape of a caller and the one question asked of it: may it do this? Refuses by default: an operator holds
//! no tenant's permission, a tenant's principal none of an operator's.

use bulkhead_domain::{
    ApiKeyId, OperatorId, OperatorPermission, OperatorRole, Permission, Proven, Role, SessionId, TenantId,
    UserId,
};
use chrono::{DateTime, Utc};

use crate::revocation::Since;

/// A caller whose credential was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person of a tenant.
    User {
        /// Their tenant.
        tenant: Proven<TenantId>,
        /// Their id.
        id: UserId,
        /// What they may do.
        role: Role,
        /// The login that their token belongs to.
        session: SessionId,
    },
    /// A program of a tenant.
    ApiKey {
        /// Its tenant.
        tenant: Proven<TenantId>,
        /// The key's id.
        id: ApiKeyId,
        /// What it may do.
        role: Role,
    },
    /// A person who runs the platform. Belongs to no tenant.
    Operator {
        /// Their id.
        id: Proven<OperatorId>,
        /// What they may do.
        role: OperatorRole,
        /// The login that their token belongs to.
        session: SessionId,
    },
}

/// The principal may not do this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this needs the permission {needed}")]
pub struct Forbidden {
    /// The missing permission, as `action:resource`.
    pub needed: &'static str,
}

impl Principal {
    /// Whether a tenant's principal holds a permission. Operators hold none.
    pub fn require(&self, permission: Permission) -> Result<(), Forbidden> {
        match self {
            Self::User { role, .. } | Self::ApiKey { role, .. } if role.allows(permission) => Ok(()),
            Self::User { .. } | Self::ApiKey { .. } | Self::Operator { .. } => {
                Err(Forbidden { needed: permission.as_str() })
            }
        }
    }

    /// Whether an operator holds a permission. Tenants' principals hold none.
    pub fn require_operator(&self, permission: OperatorPermission) -> Result<(), Forbidden> {
        match self {
            Self::Operator { role, .. } if role.allows(permission) => Ok(()),
            Self::User { .. } | Self::ApiKey { .. } | Self::Operator { .. } => {
                Err(Forbidden { needed: permission.as_str() })
            }
        }
    }

    /// The tenant; `None` for operators.
    pub const fn tenant(&self) -> Option<Proven<TenantId>> {
        match self {
            Self::User { tenant, .. } | Self::ApiKey { tenant, .. } => Some(*tenant),
            Self::Operator { .. } => None,
        }
    }

    /// The login that the caller's token belongs to; keys have none.
    pub const fn session(&self) -> Option<SessionId> {
        match self {
            Self::User { session, .. } | Self::Operator { session, .. } => Some(*session),
            Self::ApiKey { .. } => None,
        }
    }

    /// The caller's id as text: what tokens call `sub` and audit rows call the actor.
    pub fn subject(&self) -> String {
        match self {
            Self::User { id, .. } => id.to_string(),
            Self::ApiKey { id, .. } => id.to_string(),
            Self::Operator { id, .. } => id.get().to_string(),
        }
    }
}

/// What the verification of a credential has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Who calls.
    pub principal: Principal,
    /// Since when: trust that was taken back later ends it.
    pub since: Since,
    /// When the credential ends by itself; [`DateTime::<Utc>::MAX_UTC`] when it does not.
    pub expires_at: DateTime<Utc>,
}

#[cfg(test)]
pub(crate) mod tests {
    use bulkhead_domain::Evidence;
    use uuid::Uuid;

    use super::*;

    pub(crate) fn tenant(byte: u8) -> TenantId {
        TenantId::from_uuid(Uuid::from_bytes([byte; 16]))
    }

    pub(crate) fn user(tenant_byte: u8, role: Role, session: Option<SessionId>) -> Principal {
        let tenant = Proven::on(Evidence::Fixture, tenant(tenant_byte));
        let session = session.unwrap_or(SessionId::from_uuid(Uuid::from_bytes([8; 16])));
        Principal::User { tenant, id: UserId::from_uuid(Uuid::from_bytes([2; 16])), role, session }
    }

    pub(crate) fn key(tenant_byte: u8, role: Role) -> Principal {
        let tenant = Proven::on(Evidence::Fixture, tenant(tenant_byte));
        Principal::ApiKey { tenant, id: ApiKeyId::from_uuid(Uuid::from_bytes([3; 16])), role }
    }

    pub(crate) fn operator(role: OperatorRole) -> Principal {
        let id = Proven::on(Evidence::Fixture, OperatorId::from_uuid(Uuid::from_bytes([4; 16])));
        Principal::Operator { id, role, session: SessionId::from_uuid(Uuid::from_bytes([9; 16])) }
    }

    #[test]
    fn a_permission_is_held_exactly_as_the_role_says() {
        for permission in Permission::ALL {
            for role in Role::ALL {
                let expected =
                    role.allows(*permission).then_some(()).ok_or(Forbidden { needed: permission.as_str() });
                assert_eq!(user(1, role, None).require(*permission), expected, "{role:?} {permission}");
                assert_eq!(key(1, role).require(*permission), expected, "{role:?} {permission}");
            }
        }
        for permission in OperatorPermission::ALL {
            for role in OperatorRole::ALL {
                assert_eq!(operator(role).require_operator(*permission).is_ok(), role.allows(*permission));
            }
        }
    }

    #[test]
    fn the_strongest_role_of_one_side_opens_nothing_on_the_other() {
        for permission in Permission::ALL {
            assert!(operator(OperatorRole::Admin).require(*permission).is_err(), "{permission}");
        }
        for permission in OperatorPermission::ALL {
            assert!(user(1, Role::Owner, None).require_operator(*permission).is_err(), "{permission}");
            assert!(key(1, Role::Owner).require_operator(*permission).is_err(), "{permission}");
        }
        assert_eq!(operator(OperatorRole::Admin).tenant(), None);
    }
}
