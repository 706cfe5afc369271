//! Identity providers as operators see them: the platform's own, and those of tenants.

mod create;
mod delete;
mod list;
mod update;

use bulkhead_db::identity_providers::IdentityProvider;
use bulkhead_domain::{AccessRegistry, operator_permission};

use crate::{
    http::{
        answer::Answer,
        error::ApiError,
        operation::{Access, operations},
        validation::Fields,
    },
    routes::identity_providers::{ProviderResponse, roles_of},
};

operations! {
    list::list_all_identity_providers => Access::Operator(operator_permission::READ_ALL_IDENTITY_PROVIDERS), [], List;
    create::create_platform_identity_provider => Access::Operator(operator_permission::WRITE_ALL_IDENTITY_PROVIDERS), [TAKEN];
    update::update_platform_identity_provider => Access::Operator(operator_permission::WRITE_ALL_IDENTITY_PROVIDERS), [
        TAKEN, NOT_OURS,
    ];
    delete::delete_any_identity_provider => Access::Operator(operator_permission::WRITE_ALL_IDENTITY_PROVIDERS), [];
}

const TAKEN: ApiError = ApiError::Taken { what: "audience of this issuer" };
const NOT_OURS: ApiError =
    ApiError::WrongState("This provider is a tenant's. Its people change it; an operator can remove it.");

fn shown(row: IdentityProvider) -> Result<Answer, ApiError> {
    let version = row.version;
    Ok(Answer::ok(&ProviderResponse::from(row))?.version(version))
}

/// Refuses roles that only some tenants have, and a map that gives more than the highest role. What each tenant lets the
/// provider's people become is for the tenant to say.
fn check_roles(access: &AccessRegistry, provider: &IdentityProvider) -> Result<(), ApiError> {
    let mut fields = Fields::default();
    let most = access.content(provider.settings.max_role, None);
    for role in roles_of(&provider.settings) {
        if !access.is_built_in(role) {
            fields.refuse(
                "/max_role",
                format!("and the map must name roles that every tenant has, and not {role}"),
            );
        } else if access.may_grant(&most, &access.content(role, None)).is_err() {
            fields.refuse("/max_role", format!("does not hold all that {role} holds"));
        }
    }
    fields.finish()
}
