//! A tenant's people.

mod create;
mod delete;
mod end_session;
mod end_sessions;
mod erase;
mod get;
mod list;
mod list_sessions;
mod reset_password;
mod reset_second_factor;
pub(super) mod update;

use bulkhead_db::tenant::{provider_accounts::Stage, users::User};
use bulkhead_domain::{IdentityProviderId, RoleName, UserId, permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{api_keys::below::OWN_KEYS, not_grantable};
use crate::http::{
    error::ApiError,
    operation::{Access, operations},
};

operations! {
    list::list_users => Access::Tenant(permission::READ_USERS), [], List;
    create::create_user => Access::Tenant(permission::WRITE_USERS), [
        not_grantable(),
        ApiError::Taken { what: "e-mail address" },
        ApiError::PlanLimitReached { what: "users", most: 100 },
    ];
    get::get_user => Access::Tenant(permission::READ_USERS), [];
    update::update_user => Access::Tenant(permission::WRITE_USERS), [
        not_grantable(),
        ApiError::PersonRequired,
        ApiError::LastOwner,
        OWN_KEYS,
    ];
    reset_password::reset_user_password => Access::Tenant(permission::WRITE_USERS), [
        not_grantable(),
    ];
    reset_second_factor::reset_user_second_factor => Access::Tenant(permission::WRITE_USERS), [
        not_grantable(),
    ];
    list_sessions::list_user_sessions => Access::Tenant(permission::WRITE_USERS), [not_grantable()], List;
    end_session::end_user_session => Access::Tenant(permission::WRITE_USERS), [not_grantable()];
    end_sessions::end_user_sessions => Access::Tenant(permission::WRITE_USERS), [not_grantable()];
    erase::erase_user => Access::Tenant(permission::WRITE_USERS), [
        not_grantable(),
        ApiError::LastOwner,
    ];
    delete::delete_user => Access::Tenant(permission::WRITE_USERS), [
        not_grantable(),
        ApiError::PersonRequired,
        ApiError::LastOwner,
        OWN_KEYS,
    ];
}

/// A person's account at an identity provider that was asked for when they were added.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountResponse {
    /// The provider.
    #[schema(value_type = String, example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    identity_provider_id: IdentityProviderId,
    /// How far it has come: `asked`, `making` while the provider is asked for it, `linked` when the person can log in with it.
    #[schema(example = "linked")]
    state: &'static str,
}

/// A person of a tenant, and where their account at an identity provider stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserWithAccountResponse {
    /// Their id.
    #[schema(value_type = String, example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: UserId,
    /// Their address.
    #[schema(example = "grace@example.com")]
    email: String,
    /// What they may do: `owner`, `admin`, `developer`, `read_only` or one of the tenant's own roles.
    #[schema(value_type = String, example = "developer")]
    role: RoleName,
    /// The account that was asked for when they were added; left out where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    account: Option<AccountResponse>,
    /// Grows by one with every change; the ETag says the same.
    #[schema(example = 1)]
    version: i64,
    /// When they were added.
    created_at: DateTime<Utc>,
    /// When they were last changed.
    updated_at: DateTime<Utc>,
}

impl UserWithAccountResponse {
    fn of(row: User, account: Option<(IdentityProviderId, Stage)>) -> Self {
        let User { id, email, role, version, created_at, updated_at } = row;
        let account = account.map(|(identity_provider_id, stage)| AccountResponse {
            identity_provider_id,
            state: stage.as_str(),
        });
        Self { id, email, role, account, version, created_at, updated_at }
    }
}

/// A person of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserResponse {
    /// Their id.
    #[schema(value_type = String, example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: UserId,
    /// Their address.
    #[schema(example = "grace@example.com")]
    email: String,
    /// What they may do: `owner`, `admin`, `developer`, `read_only` or one of the tenant's own roles.
    #[schema(value_type = String, example = "developer")]
    role: RoleName,
    /// Grows by one with every change; the ETag says the same.
    #[schema(example = 1)]
    version: i64,
    /// When they were added.
    created_at: DateTime<Utc>,
    /// When they were last changed.
    updated_at: DateTime<Utc>,
}

impl From<User> for UserResponse {
    fn from(row: User) -> Self {
        let User { id, email, role, version, created_at, updated_at } = row;
        Self { id, email, role, version, created_at, updated_at }
    }
}
