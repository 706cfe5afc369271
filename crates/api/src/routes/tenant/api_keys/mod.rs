//! A tenant's API keys.

mod create;
mod delete;
mod get;
mod list;

use bulkhead_db::tenant::api_keys::ApiKeyRow;
use bulkhead_domain::{ApiKeyId, RoleName, permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::not_grantable;
use crate::http::{
    error::ApiError,
    operation::{Access, operations},
};

operations! {
    list::list_api_keys => Access::Tenant(permission::READ_API_KEYS), [], List;
    create::create_api_key => Access::Tenant(permission::WRITE_API_KEYS), [
        not_grantable(),
        ApiError::PlanLimitReached { what: "API keys that work", most: 50 },
    ];
    get::get_api_key => Access::Tenant(permission::READ_API_KEYS), [];
    delete::delete_api_key => Access::Tenant(permission::WRITE_API_KEYS), [
        not_grantable(),
    ];
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKeyResponse {
    /// Its id.
    #[schema(value_type = String, example = "key_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: ApiKeyId,
    /// What people call it.
    #[schema(example = "nightly import")]
    name: String,
    /// How the key begins.
    #[schema(example = "bh_live_0dK7xIv2VZ3bqkPbq0ZlfVxH0h1cUrXh8sQnq3FJ5Wm")]
    hint: String,
    /// What it may do: `owner`, `admin`, `developer`, `read_only` or one of the tenant's own roles.
    #[schema(value_type = String, example = "developer")]
    role: RoleName,
    /// Who made it.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    created_by: String,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it stops working by itself.
    expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    revoked_at: Option<DateTime<Utc>>,
}

impl From<ApiKeyRow> for ApiKeyResponse {
    fn from(row: ApiKeyRow) -> Self {
        let ApiKeyRow { id, name, hint, role, created_by, created_at, expires_at, revoked_at } = row;
        Self { id, name, hint, role, created_by, created_at, expires_at, revoked_at }
    }
}
