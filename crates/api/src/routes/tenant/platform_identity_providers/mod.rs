//! The platform's identity providers whose word a tenant takes.

mod join;
mod leave;
mod list;

use bulkhead_db::gate::identity_providers::SharedProvider;
use bulkhead_domain::{IdentityProviderId, RoleName, permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::not_grantable;
use crate::http::operation::{Access, operations};

operations! {
    list::list_platform_identity_providers => Access::Tenant(permission::READ_IDENTITY_PROVIDERS), [];
    join::join_identity_provider => Access::Tenant(permission::WRITE_IDENTITY_PROVIDERS), [not_grantable()];
    leave::leave_identity_provider => Access::Tenant(permission::WRITE_IDENTITY_PROVIDERS), [not_grantable()];
}

/// An identity provider of the platform.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlatformProviderResponse {
    /// Its id.
    #[schema(value_type = String, example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: IdentityProviderId,
    /// What people call it.
    #[schema(example = "The platform's pool")]
    name: String,
    /// `oidc` or `cognito`.
    #[schema(example = "cognito")]
    kind: String,
    /// The `iss` of its tokens.
    #[schema(example = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI")]
    issuer: String,
    /// Whether it counts.
    #[schema(example = true)]
    enabled: bool,
    /// Whether users can be added here who are made there as well: `identity_provider_id` of `POST /v1/users`.
    #[schema(example = false)]
    makes_users: bool,
    /// What its people become here; null when its word is not taken.
    #[schema(value_type = Option<String>, example = "read_only")]
    default_role: Option<RoleName>,
    /// The most that they become here; null when its word is not taken.
    #[schema(value_type = Option<String>, example = "developer")]
    max_role: Option<RoleName>,
    /// Since when its word is taken; null when it is not.
    joined_at: Option<DateTime<Utc>>,
}

impl From<SharedProvider> for PlatformProviderResponse {
    fn from(row: SharedProvider) -> Self {
        let SharedProvider { id, name, kind, issuer, enabled, settings, joined } = row;
        Self {
            id,
            name,
            kind,
            issuer,
            enabled,
            makes_users: settings.makes_users,
            default_role: joined.map(|(role, ..)| role),
            max_role: joined.map(|(_, role, _)| role),
            joined_at: joined.map(|(.., at)| at),
        }
    }
}
