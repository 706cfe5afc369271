//! What an issuer's people become.

use bulkhead_db::{
    DbResult, TenantTx,
    identity_providers::{COGNITO, IdentityProvider},
    platform::identity_providers::Membership,
    tenant::roles,
};
use bulkhead_domain::{AccessRegistry, RoleName};
use bulkhead_oidc::Claims;

use super::COGNITO_ROLE_CLAIM;

/// What people of a provider may become in a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Who has said nothing that is mapped.
    pub(crate) default_role: RoleName,
    /// Everybody at most.
    pub(crate) max_role: RoleName,
}

impl Bounds {
    /// A tenant's own provider says it itself, of one of the platform's the tenant has said it.
    pub(crate) const fn of(provider: &IdentityProvider, membership: Option<Membership>) -> Self {
        match membership {
            Some(Membership { default_role, max_role }) => Self { default_role, max_role },
            None => {
                Self { default_role: provider.settings.default_role, max_role: provider.settings.max_role }
            }
        }
    }
}

/// The roles that the claim of a token may name, in its order, and then the default.
fn wanted(provider: &IdentityProvider, claims: &Claims, default: RoleName) -> Vec<RoleName> {
    let settings = &provider.settings;
    let of_kind = (provider.kind == COGNITO).then_some(COGNITO_ROLE_CLAIM);
    let claim = settings.role_claim.as_deref().or(of_kind);
    let said = claim.map(|claim| claims.texts(claim)).unwrap_or_default();
    said.into_iter().filter_map(|text| settings.role_map.get(text).copied()).chain([default]).collect()
}

/// The role of somebody new: the first that their token names, is mapped, exists and holds no more than the highest role; else
/// the default, under the same conditions. `None` when there is none, because roles were changed since they were chosen.
pub(crate) async fn assigned(
    tx: &mut TenantTx,
    access: &AccessRegistry,
    provider: &IdentityProvider,
    bounds: Bounds,
    claims: &Claims,
) -> DbResult<Option<RoleName>> {
    let wanted = wanted(provider, claims, bounds.default_role);
    let own: Vec<RoleName> =
        wanted.iter().chain([&bounds.max_role]).copied().filter(|name| !access.is_built_in(*name)).collect();
    let rows = if own.is_empty() { Vec::new() } else { roles::lock_shared(tx, &own).await? };
    let content = |name: RoleName| {
        let row = rows.iter().find(|row| row.name == name);
        access.content(name, row.map(|row| row.permissions.as_slice()))
    };
    let most = content(bounds.max_role);
    let fits = |name: &RoleName| {
        let content = content(*name);
        !content.is_unknown() && access.may_grant(&most, &content).is_ok()
    };
    Ok(wanted.into_iter().find(|name| fits(name)))
}
