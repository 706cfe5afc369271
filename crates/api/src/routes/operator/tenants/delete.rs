//! Delete a tenant, or withdraw one that was never built.

use bulkhead_db::platform::{lifecycle, revocations::announce_tenant_change, tenants};
use bulkhead_domain::{TenantId, TenantStatus};
use serde_json::json;

use super::{TenantResponse, shown};
use crate::http::{
    answer::Answer,
    call::{OperatorCall, Written},
    error::ApiError,
    extract::{Id, IfMatch, IfMatchHeader},
};

/// Delete a tenant
///
/// Its credentials are refused within seconds, on every node. All it has is kept until `purge_after`, 30 days unless the
/// service is set up otherwise, and `POST /v1/admin/tenants/{id}/restore` brings it back; then it is removed for good, and its
/// slug is free when `purged_at` is there. Usage stays, for the bill, and so does the audit log. A tenant that was never
/// built, because its operation has failed, has nothing to keep and is removed at once. Deleting a tenant that is deleted
/// changes nothing.
#[utoipa::path(
    delete, path = "/v1/admin/tenants/{id}", tag = "operators: tenants",
    params(("id" = String, Path, description = "The tenant's id.", example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader),
    responses((status = 200, description = "The tenant as it is now.", body = TenantResponse)),
)]
pub(crate) async fn delete_tenant(
    call: OperatorCall,
    Id(id): Id<TenantId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    let keep = call.state().options.tenant_grace;
    let delete = async |tx: &mut _| {
        let current = tenants::lock(tx, id).await?.ok_or(ApiError::NotFound)?;
        if_match.check(current.version)?;
        if current.status == TenantStatus::Deleted {
            let (tenant, purge) = tenants::find_with_purge(tx, id).await?.ok_or(ApiError::NotFound)?;
            let version = tenant.version;
            let answer = Answer::ok(&TenantResponse::with_purge(tenant, purge.as_ref()))?.version(version);
            return Ok(Written::unchanged(answer));
        }
        let tenant = lifecycle::delete(tx, &current, keep, call.at()).await?;
        announce_tenant_change(tx, id).await?;
        let changes = json!({ "status": tenant.status, "purge_after": tenant.purge_after });
        Ok(Written::changed(id, changes, shown(tenant)?))
    };
    call.write(delete).await
}
