//! What a tenant sets for itself: who may register, and what the platform's operators may do.

mod get_impersonation;
mod get_registration;
mod put_impersonation;
mod set_registration;

use bulkhead_db::tenant::settings::{InForce, Registration};
use bulkhead_domain::{TenantId, permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::not_grantable;
use crate::http::operation::{Access, operations};

operations! {
    get_registration::get_registration => Access::Tenant(permission::READ_USERS), [];
    set_registration::set_registration => Access::Tenant(permission::WRITE_USERS), [not_grantable()];
    get_impersonation::get_impersonation => Access::Tenant(permission::READ_SETTINGS), [];
    put_impersonation::put_impersonation => Access::Tenant(permission::WRITE_SETTINGS), [];
}

/// Who may register.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegistrationResponse {
    /// Whether people may register by themselves.
    #[schema(example = true)]
    enabled: bool,
    /// The role that they get.
    #[schema(example = "read_only")]
    role: String,
    /// The domains that their addresses must have, as DNS names; none allows any.
    #[schema(example = json!(["example.com"]))]
    domains: Vec<String>,
    /// Grows by one with every change; 0 as long as nobody has set it. The ETag says the same.
    #[schema(example = 1)]
    version: i64,
    /// When it was last changed; null when it never was.
    updated_at: Option<DateTime<Utc>>,
    /// Who has changed it last; null when nobody has.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    updated_by: Option<String>,
}

impl From<InForce<Registration>> for RegistrationResponse {
    fn from(setting: InForce<Registration>) -> Self {
        let InForce { value: Registration { enabled, role, domains }, version, updated_at, updated_by } =
            setting;
        Self { enabled, role, domains, version, updated_at, updated_by }
    }
}

/// Whether operators may act as the tenant's people.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImpersonationSettingResponse {
    /// Your tenant.
    #[schema(value_type = String, example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    tenant: TenantId,
    /// Whether they may. A new tenant allows it.
    #[schema(example = true)]
    allowed: bool,
}
