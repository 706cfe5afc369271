//! The route table: one line per operation, each with who may call it.

mod identity_providers;
mod newcomers;
mod operator;
mod service;
mod session;
mod tenant;

use crate::http::operation::Group;

/// The operations that every application has.
pub fn core() -> Vec<Group> {
    vec![
        service::group(),
        session::auth::group(),
        session::federated::group(),
        session::sessions::group(),
        session::second_factor::group(),
        session::me::group(),
        session::sign_up::group(),
        tenant::users::group(),
        tenant::invitations::group(),
        tenant::roles::group(),
        tenant::api_keys::group(),
        tenant::settings::group(),
        tenant::identity_providers::group(),
        tenant::platform_identity_providers::group(),
        tenant::federated_identities::group(),
        tenant::jobs::group(),
        tenant::operations::group(),
        tenant::usage::group(),
        tenant::scaling::group(),
        tenant::audit::group(),
        operator::tenants::group(),
        operator::usage::group(),
        operator::signing_keys::group(),
        operator::audit::group(),
        operator::operators::group(),
        operator::roles::group(),
        operator::api_keys::group(),
        operator::identity_providers::group(),
    ]
}
