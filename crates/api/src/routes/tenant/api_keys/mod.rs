//! A tenant's API keys.

pub(super) mod below;
mod create;
pub(super) mod delete;
mod disable;
mod enable;
mod get;
mod list;
mod rotate;

use bulkhead_db::tenant::api_keys::{ApiKeyRow, Grantor};
use bulkhead_domain::{ApiKeyId, RoleName, permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::not_grantable;
use crate::http::{
    call::TenantCall,
    error::ApiError,
    operation::{Access, operations},
};

operations! {
    list::list_api_keys => Access::Tenant(permission::READ_API_KEYS), [], List;
    create::create_api_key => Access::Tenant(permission::WRITE_API_KEYS), [
        not_grantable(),
        TOO_DEEP,
        ApiError::PlanLimitReached { what: "API keys that work", most: 50 },
    ];
    get::get_api_key => Access::Tenant(permission::READ_API_KEYS), [];
    delete::delete_api_key => Access::Tenant(permission::WRITE_API_KEYS), [
        not_grantable(),
        ApiError::PersonRequired,
    ];
    rotate::rotate_api_key => Access::Tenant(permission::WRITE_API_KEYS), [not_grantable(), ENDED, rotate::OVERLAPS];
    disable::disable_api_key => Access::Tenant(permission::WRITE_API_KEYS), [not_grantable(), ENDED];
    enable::enable_api_key => Access::Tenant(permission::WRITE_API_KEYS), [
        not_grantable(),
        ENDED,
        NOT_DISABLED,
        ApiError::PersonRequired,
    ];
}

const ENDED: ApiError = ApiError::WrongState("The key was revoked or has expired. Make another one.");
const NOT_DISABLED: ApiError = ApiError::WrongState("The key is not disabled.");
const TOO_DEEP: ApiError = ApiError::WrongState(
    "Eight keys stand in a row already, each made by the one before. Let a person make this one.",
);

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
    /// What it may do of that; null is all of it.
    #[schema(example = json!(["read:usage"]))]
    scopes: Option<Vec<String>>,
    /// The networks from which it works; null is everywhere.
    #[schema(example = json!(["203.0.113.0/24"]))]
    allowed_addresses: Option<Vec<String>>,
    /// How many requests a minute it may make, beside the tenant's own limit; null is as many as the tenant may.
    #[schema(example = 60)]
    requests_per_minute: Option<i32>,
    /// Who made it.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    created_by: String,
    /// Who answers for it, a user or another key: it holds at most what they hold now. Its maker, unless somebody else has kept
    /// or enabled it.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    granted_by: String,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it stops working by itself.
    expires_at: Option<DateTime<Utc>>,
    /// When it was disabled.
    disabled_at: Option<DateTime<Utc>>,
    /// When it was last given a new secret.
    rotated_at: Option<DateTime<Utc>>,
    /// Until when the secret before that works, too.
    overlap_until: Option<DateTime<Utc>>,
    /// When it was revoked.
    revoked_at: Option<DateTime<Utc>>,
    /// When it was reported as found where no key belongs, which has revoked it.
    leaked_at: Option<DateTime<Utc>>,
    /// When it was last used, to about a minute; null if it was not since uses are noted.
    last_used_at: Option<DateTime<Utc>>,
}

impl From<ApiKeyRow> for ApiKeyResponse {
    fn from(row: ApiKeyRow) -> Self {
        let granted_by = match row.grantor() {
            Grantor::Nobody => row.created_by.clone(),
            grantor => grantor.to_string(),
        };
        Self {
            id: row.id,
            name: row.name,
            hint: row.hint,
            role: row.role,
            scopes: row.scopes,
            allowed_addresses: row.allowed_addresses,
            requests_per_minute: row.requests_per_minute,
            created_by: row.created_by,
            granted_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            disabled_at: row.disabled_at,
            rotated_at: row.rotated_at,
            overlap_until: row.previous_until,
            revoked_at: row.revoked_at,
            leaked_at: row.leaked_at,
            last_used_at: row.last_used_at,
        }
    }
}

/// The caller as one who answers for keys.
fn grantor(call: &TenantCall) -> Grantor {
    let caller = call.principal();
    let user = caller.user().map(Grantor::User);
    user.or_else(|| caller.api_key().map(Grantor::Key)).unwrap_or(Grantor::Nobody)
}
