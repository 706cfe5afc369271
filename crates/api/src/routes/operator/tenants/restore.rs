//! Restore a deleted tenant.

use bulkhead_db::platform::{lifecycle, revocations::announce_tenant_change, tenants};
use bulkhead_domain::{TenantId, TenantStatus};
use serde_json::json;

use super::{TenantResponse, shown};
use crate::http::{
    answer::Answer,
    call::{OperatorCall, Written},
    error::ApiError,
    extract::{Id, IdempotencyKeyHeader, IfMatch, IfMatchHeader},
};

/// Restore a tenant
///
/// Brings a deleted tenant back as it was: active or suspended, with its people, keys, sessions and data. Its credentials
/// work again within seconds. That can be done until its removal has begun, soon after `purge_after`. A tenant that is in
/// service or suspended is answered as it is.
#[utoipa::path(
    post, path = "/v1/admin/tenants/{id}/restore", tag = "operators: tenants",
    params(("id" = String, Path, description = "The tenant's id.", example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader, IdempotencyKeyHeader),
    responses((status = 200, description = "The tenant as it is now.", body = TenantResponse)),
)]
pub(crate) async fn restore_tenant(
    call: OperatorCall,
    Id(id): Id<TenantId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    let restore = async |tx: &mut _| {
        let current = tenants::lock(tx, id).await?.ok_or(ApiError::NotFound)?;
        if_match.check(current.version)?;
        match current.status {
            TenantStatus::Active | TenantStatus::Suspended => Ok(Written::unchanged(shown(current)?)),
            TenantStatus::Provisioning => Err(too_late()),
            TenantStatus::Deleted => {
                let tenant = lifecycle::restore(tx, id, call.at()).await?.ok_or_else(too_late)?;
                announce_tenant_change(tx, id).await?;
                let changes = json!({ "status": tenant.status });
                Ok(Written::changed(id, changes, shown(tenant)?))
            }
        }
    };
    call.write(restore).await
}

/// What a tenant without anything to bring back is answered.
pub(super) fn too_late() -> ApiError {
    ApiError::WrongState("The tenant cannot be restored: it was never built, or is being removed.")
}
