//! Logging in at an identity provider.

mod callback;
mod cookie;
mod password;
mod start;

use bulkhead_domain::IdentityProviderId;

use crate::{
    http::{
        error::ApiError,
        operation::{Access, operations},
        state::AppState,
    },
    routes::session::auth::second_factor_required,
};

operations! {
    start::start_federated_login => Access::Session, [ApiError::NotFound];
    callback::finish_federated_login => Access::Session, [
        ApiError::FederatedLoginFailed,
        second_factor_required(false),
        second_factor_required(true),
        ApiError::NotAMember,
        ApiError::TenantSuspended,
    ];
    password::federated_password_login => Access::Session, [
        ApiError::LoginFailed,
        second_factor_required(false),
        second_factor_required(true),
        ApiError::NotAMember,
        ApiError::TenantSuspended,
        ApiError::NotFound,
        ApiError::WrongState("The provider asks for more than a password. Log in on its own page."),
    ];
}

/// The address that a provider sends people back to: exactly what is registered there. Each provider has one of its own, so that
/// what one of them says is never taken for another's.
fn callback_of(state: &AppState, id: IdentityProviderId) -> String {
    format!("{}/v1/auth/federated/{id}/callback", state.options.public_url)
}
