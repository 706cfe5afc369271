//! Suspend a tenant.

use bulkhead_db::platform::tenants::TenantChange;
use bulkhead_domain::{TenantId, TenantStatus};
use serde_json::json;

use super::TenantResponse;
use crate::http::{
    answer::Answer,
    call::OperatorCall,
    error::ApiError,
    extract::{Id, IdempotencyKeyHeader, IfMatch, IfMatchHeader},
};

/// Suspend a tenant
///
/// Its credentials are refused within seconds, on every node; its data is kept. One that is suspended already stays as it is.
#[utoipa::path(
    post, path = "/v1/admin/tenants/{id}/suspend", tag = "operators: tenants",
    params(("id" = String, Path, description = "The tenant's id.", example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader, IdempotencyKeyHeader),
    responses((status = 200, description = "The tenant as it is now.", body = TenantResponse)),
)]
pub(crate) async fn suspend_tenant(
    call: OperatorCall,
    Id(id): Id<TenantId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    let status = TenantStatus::Suspended;
    let change = TenantChange { status: Some(status), ..TenantChange::default() };
    let changes = json!({ "status": status });
    call.write(async |tx| super::change(tx, id, if_match, change, changes, call.at()).await).await
}
