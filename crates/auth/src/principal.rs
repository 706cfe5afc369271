//! The caller of a request, once its credential has been verified.
//!
//! Owns the shape of a caller and the one question asked of it: does it hold this permission? What a built-in role holds was
//! read from the registry when the caller was verified, what a tenant's own role holds is looked up for each request; the
//! answer is one bit. Refuses by default: an operator holds no tenants' permission, a tenant's principal none of the
//! operators', an operator who acts as a tenant's person what that person holds, and a role that this program does not know holds nothing.

use std::{fmt, net::IpAddr, sync::Arc};

use bulkhead_domain::{
    AddressRange, ApiKeyId, Limit, OperatorId, OperatorKeyId, PermissionBit, Proven, Role, SessionId,
    TenantId, UserId,
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
        /// What they may do: a role of [`AccessRegistry::tenants`](bulkhead_domain::AccessRegistry::tenants).
        role: Role,
        /// The login that their token belongs to; when an operator acts as them, the operator's.
        session: SessionId,
        /// The operator who acts as them, if it is not they themselves who call.
        acting: Option<OperatorId>,
    },
    /// A program of a tenant.
    ApiKey {
        /// Its tenant.
        tenant: Proven<TenantId>,
        /// The key's id.
        id: ApiKeyId,
        /// Its role, within its scopes and within what the one holds who has granted it.
        role: Role,
    },
    /// A person who runs the platform. Belongs to no tenant.
    Operator {
        /// Their id.
        id: Proven<OperatorId>,
        /// What they may do: a role of [`AccessRegistry::operators`](bulkhead_domain::AccessRegistry::operators).
        role: Role,
        /// The login that their token belongs to.
        session: SessionId,
    },
    /// A program of an operator.
    OperatorKey {
        /// The key's id.
        id: OperatorKeyId,
        /// Whose key it is.
        operator: Proven<OperatorId>,
        /// The operator's role, with what the key may use of what that holds.
        role: Role,
    },
}

impl Principal {
    /// What the caller may do.
    pub const fn role(&self) -> &Role {
        match self {
            Self::User { role, .. }
            | Self::ApiKey { role, .. }
            | Self::Operator { role, .. }
            | Self::OperatorKey { role, .. } => role,
        }
    }

    /// Whether the caller holds a permission. Operators hold none of the tenants', tenants' principals none of the operators'.
    pub const fn holds(&self, permission: PermissionBit) -> bool {
        self.role().permissions().contains(permission)
    }

    /// The same caller with what their role was found to hold.
    #[must_use]
    pub(crate) const fn with_role(self, role: Role) -> Self {
        match self {
            Self::User { tenant, id, session, acting, .. } => {
                Self::User { tenant, id, role, session, acting }
            }
            Self::ApiKey { tenant, id, .. } => Self::ApiKey { tenant, id, role },
            Self::Operator { id, session, .. } => Self::Operator { id, role, session },
            Self::OperatorKey { id, operator, .. } => Self::OperatorKey { id, operator, role },
        }
    }

    /// Whether it is an operator, or a program of one.
    pub const fn is_of_platform(&self) -> bool {
        matches!(self, Self::Operator { .. } | Self::OperatorKey { .. })
    }

    /// Who acts through the caller: the operator who impersonates a person. Logs and audit entries name both.
    pub const fn act(&self) -> Option<OperatorId> {
        match self {
            Self::User { acting, .. } => *acting,
            Self::ApiKey { .. } | Self::Operator { .. } | Self::OperatorKey { .. } => None,
        }
    }

    /// The person; `None` for keys and operators.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            Self::ApiKey { .. } | Self::Operator { .. } | Self::OperatorKey { .. } => None,
        }
    }

    /// The tenant's API key; `None` for people and operators.
    pub const fn api_key(&self) -> Option<ApiKeyId> {
        match self {
            Self::ApiKey { id, .. } => Some(*id),
            Self::User { .. } | Self::Operator { .. } | Self::OperatorKey { .. } => None,
        }
    }

    /// The tenant; `None` for operators.
    pub const fn tenant(&self) -> Option<Proven<TenantId>> {
        match self {
            Self::User { tenant, .. } | Self::ApiKey { tenant, .. } => Some(*tenant),
            Self::Operator { .. } | Self::OperatorKey { .. } => None,
        }
    }

    /// The caller's own login that their token belongs to. Keys have none, and neither has who acts as somebody else.
    pub const fn session(&self) -> Option<SessionId> {
        match self {
            Self::User { session, acting: None, .. } | Self::Operator { session, .. } => Some(*session),
            Self::User { acting: Some(_), .. } | Self::ApiKey { .. } | Self::OperatorKey { .. } => None,
        }
    }

    /// The caller's id as text: what tokens call `sub` and audit rows call the actor. It is written when it is shown.
    pub const fn subject(&self) -> Subject<'_> {
        Subject(self)
    }
}

/// The id of a principal.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a>(&'a Principal);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Principal::User { id, .. } => fmt::Display::fmt(id, f),
            Principal::ApiKey { id, .. } => fmt::Display::fmt(id, f),
            Principal::Operator { id, .. } => fmt::Display::fmt(&id.get(), f),
            Principal::OperatorKey { id, .. } => fmt::Display::fmt(id, f),
        }
    }
}

/// What the verification of a credential has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The caller. A person's role holds nothing here if it is the tenant's own, so that what it holds is never remembered with a
    /// token. What a key holds is remembered, until [`KeyTerms::generation`] is over.
    pub principal: Principal,
    /// From when on the credential was known to be good: a later revocation ends it.
    pub since: Since,
    /// When the credential ends by itself; [`DateTime::<Utc>::MAX_UTC`] when it does not.
    pub expires_at: DateTime<Utc>,
    /// What an API key is bounded by beside what it holds; nothing for tokens.
    pub key: KeyTerms,
}

/// What bounds the use of an API key, as it was looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTerms {
    /// How often its tenant was known to have changed before the look-up began: after the next change what it holds may be another
    /// set.
    pub generation: u64,
    pub(crate) bounds: Option<Arc<KeyBounds>>,
}

/// Bounds that most keys do not have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyBounds {
    /// The networks from which the key works.
    pub(crate) allowed: Option<Vec<AddressRange>>,
    /// How many requests it may make.
    pub(crate) limit: Option<Limit>,
}

impl KeyTerms {
    /// Whether the key works from this address; `None` is a caller whose address is not known.
    pub fn admits(&self, from: Option<IpAddr>) -> bool {
        let Some(allowed) = self.bounds.as_ref().and_then(|bounds| bounds.allowed.as_ref()) else {
            return true;
        };
        from.is_some_and(|from| allowed.iter().any(|range| range.contains(from)))
    }

    /// How many requests the key may make by itself.
    pub fn limit(&self) -> Option<Limit> {
        self.bounds.as_ref().and_then(|bounds| bounds.limit)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bulkhead_domain::{
        AccessRegistry, Evidence, RoleName,
        access::{BuiltIn, BuiltInOperator, CORE},
    };
    use uuid::Uuid;

    use super::*;

    pub(crate) fn tenant(byte: u8) -> TenantId {
        TenantId::from_uuid(Uuid::from_bytes([byte; 16]))
    }

    fn access() -> AccessRegistry {
        AccessRegistry::assemble(&[]).unwrap()
    }

    pub(crate) fn user(tenant_byte: u8, role: RoleName, session: Option<SessionId>) -> Principal {
        let tenant = Proven::on(Evidence::Fixture, tenant(tenant_byte));
        let session = session.unwrap_or(SessionId::from_uuid(Uuid::from_bytes([8; 16])));
        let (id, role) = (UserId::from_uuid(Uuid::from_bytes([2; 16])), access().tenants().role(role));
        Principal::User { tenant, id, role, session, acting: None }
    }

    pub(crate) fn key(tenant_byte: u8, role: RoleName) -> Principal {
        let tenant = Proven::on(Evidence::Fixture, tenant(tenant_byte));
        let (id, role) = (ApiKeyId::from_uuid(Uuid::from_bytes([3; 16])), access().tenants().role(role));
        Principal::ApiKey { tenant, id, role }
    }

    pub(crate) fn operator(role: RoleName) -> Principal {
        let id = Proven::on(Evidence::Fixture, OperatorId::from_uuid(Uuid::from_bytes([4; 16])));
        let role = access().operators().role(role);
        Principal::Operator { id, role, session: SessionId::from_uuid(Uuid::from_bytes([9; 16])) }
    }

    #[test]
    fn a_permission_is_held_exactly_as_it_is_declared() {
        let access = access();
        for def in CORE.tenants {
            let bit = access.bit(def.permission).unwrap();
            for role in BuiltIn::ALL {
                let expected = def.held_by.contains(&role);
                assert_eq!(user(1, role.name(), None).holds(bit), expected, "{role:?} {}", def.permission);
                assert_eq!(key(1, role.name()).holds(bit), expected, "{role:?} {}", def.permission);
            }
        }
        for def in CORE.operators {
            let bit = access.operator_bit(def.permission).unwrap();
            for role in BuiltInOperator::ALL {
                let expected = def.held_by.contains(&role);
                assert_eq!(operator(role.name()).holds(bit), expected, "{role:?} {}", def.permission);
            }
        }
    }

    #[test]
    fn the_strongest_role_of_one_side_opens_nothing_on_the_other() {
        let access = access();
        for def in CORE.tenants {
            let bit = access.bit(def.permission).unwrap();
            assert!(!operator(RoleName::ADMIN).holds(bit), "{}", def.permission);
        }
        for def in CORE.operators {
            let bit = access.operator_bit(def.permission).unwrap();
            assert!(!user(1, RoleName::OWNER, None).holds(bit), "{}", def.permission);
            assert!(!key(1, RoleName::OWNER).holds(bit), "{}", def.permission);
        }
        assert_eq!(operator(RoleName::ADMIN).tenant(), None);
    }

    /// A request copies its principal some four times, and a node remembers a hundred thousand.
    #[test]
    fn a_principal_stays_small() {
        assert!(size_of::<Principal>() <= 144, "{}", size_of::<Principal>());
    }
}
