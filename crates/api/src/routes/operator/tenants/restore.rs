//! Restore a deleted tenant.

use actix_web::web::Data;
use bulkhead_db::platform::{lifecycle, revocations::announce_tenant_change, tenants};
use bulkhead_domain::{TenantId, TenantStatus};
use serde_json::json;

use super::TenantResponse;
use crate::http::{
    answer::Answer,
    error::ApiError,
    extract::{Id, IfMatch, IfMatchHeader, OperatorCaller},
    state::AppState,
};

/// Restore a tenant
///
/// Brings a deleted tenant back as it was: active or suspended, with its people, keys, sessions and data. Its credentials
/// work again within seconds. That can be done until its removal has begun, soon after `purge_after`. A tenant that is in
/// service or suspended is answered as it is.
#[utoipa::path(
    post, path = "/v1/admin/tenants/{id}/restore", tag = "tenants",
    params(("id" = String, Path, description = "The tenant's id.", example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1d"), IfMatchHeader),
    responses((status = 200, description = "The tenant as it is now.", body = TenantResponse)),
)]
pub(crate) async fn restore_tenant(
    state: Data<AppState>,
    caller: OperatorCaller,
    Id(id): Id<TenantId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    let at = state.clock.now();
    let restore = async |tx: &mut _| {
        let current = tenants::lock(tx, id).await?.ok_or(ApiError::NotFound)?;
        if_match.check(current.version)?;
        let tenant = match current.status {
            TenantStatus::Active | TenantStatus::Suspended => current,
            TenantStatus::Provisioning => return Err(too_late()),
            TenantStatus::Deleted => {
                let tenant = lifecycle::restore(tx, id, at).await?.ok_or_else(too_late)?;
                announce_tenant_change(tx, id).await?;
                caller.audit(tx, at, &id, json!({ "status": tenant.status })).await?;
                tenant
            }
        };
        let version = tenant.version;
        Ok(Answer::ok(&TenantResponse::from(tenant))?.version(version))
    };
    state.db.platform_write(caller.authority(), restore).await
}

/// What a tenant without anything to bring back is answered.
pub(super) fn too_late() -> ApiError {
    ApiError::WrongState("The tenant cannot be restored: it was never built, or is being removed.")
}
