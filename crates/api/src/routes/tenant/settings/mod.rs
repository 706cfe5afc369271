//! What a tenant allows the platform's operators.

mod get_impersonation;
mod put_impersonation;

use bulkhead_domain::{TenantId, permission};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::operation::{Access, operations};

operations! {
    get_impersonation::get_impersonation => Access::Tenant(permission::READ_SETTINGS), [];
    put_impersonation::put_impersonation => Access::Tenant(permission::WRITE_SETTINGS), [];
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
