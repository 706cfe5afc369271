//! A tenant's own identity providers.

mod create;
mod delete;
mod get;
mod list;
mod update;

use bulkhead_auth::{Grants, grants::Hold};
use bulkhead_db::{TenantTx, identity_providers::IdentityProvider};
use bulkhead_domain::{RoleName, permission};

use super::{grants, lock_caller, not_grantable, refused};
use crate::{
    http::{
        answer::Answer,
        call::TenantCall,
        error::ApiError,
        operation::{Access, operations},
    },
    routes::identity_providers::{ProviderResponse, roles_of},
};

operations! {
    list::list_identity_providers => Access::Tenant(permission::READ_IDENTITY_PROVIDERS), [], List;
    create::create_identity_provider => Access::Tenant(permission::WRITE_IDENTITY_PROVIDERS), [
        not_grantable(), TAKEN, TOO_MANY,
    ];
    get::get_identity_provider => Access::Tenant(permission::READ_IDENTITY_PROVIDERS), [];
    update::update_identity_provider => Access::Tenant(permission::WRITE_IDENTITY_PROVIDERS), [
        not_grantable(), TAKEN,
    ];
    delete::delete_identity_provider => Access::Tenant(permission::WRITE_IDENTITY_PROVIDERS), [not_grantable()];
}

const TAKEN: ApiError = ApiError::Taken { what: "audience of this issuer" };
const TOO_MANY: ApiError =
    ApiError::WrongState("A tenant has at most 200 identity providers. Remove one that is not used.");

fn shown(row: IdentityProvider) -> Result<Answer, ApiError> {
    let version = row.version;
    Ok(Answer::ok(&ProviderResponse::from(row))?.version(version))
}

/// Refuses a caller who may not give all that a provider gives: who may change it may become any of its people.
async fn check_roles<'a>(
    tx: &mut TenantTx,
    call: &'a TenantCall,
    before: Option<&IdentityProvider>,
    after: Option<&IdentityProvider>,
) -> Result<Grants<'a>, ApiError> {
    let own = lock_caller(tx, call).await?;
    let of = |provider: Option<&IdentityProvider>| -> Vec<RoleName> {
        provider.map(|provider| roles_of(&provider.settings)).unwrap_or_default()
    };
    let (before, after) = (of(before), of(after));
    let named: Vec<RoleName> = before.iter().chain(&after).copied().collect();
    let grants = grants(tx, call, own, permission::WRITE_IDENTITY_PROVIDERS, &named, Hold::Give).await?;
    for role in before {
        grants.may_take(role).map_err(refused)?;
    }
    let most = after.first().copied();
    for role in after {
        grants.may_give(role).map_err(refused)?;
        if most.is_some_and(|most| !grants.is_within(role, most)) {
            return Err(ApiError::field("/max_role", format!("does not hold all that {role} holds")));
        }
    }
    Ok(grants)
}
