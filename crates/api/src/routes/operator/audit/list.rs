//! Read the operators' audit log.

use bulkhead_db::{platform::audit, tenant::audit::AuditEntry};

use crate::{
    http::{
        answer::Answer,
        call::OperatorCall,
        error::ApiError,
        extract::{PageResponse, Query},
    },
    routes::tenant::audit::{AuditEntryResponse, AuditQuery},
};

/// Read the operators' audit log
///
/// What operators, commands and the machinery did, the newest first. `target` with a tenant's id shows what was done to that tenant;
/// what its own people did is in the tenant's log and not here.
#[utoipa::path(
    get, path = "/v1/admin/audit", tag = "operators: audit", params(AuditQuery),
    responses((status = 200, description = "A page of entries.", body = PageResponse<AuditEntryResponse>)),
)]
pub(crate) async fn list_platform_audit(
    call: OperatorCall,
    Query(query): Query<AuditQuery>,
) -> Result<Answer, ApiError> {
    let (filter, page) = query.read()?;
    let rows = call.read(async |tx| audit::list(tx, &filter, page).await).await?;
    call.page(rows, |row: &AuditEntry| row.id, AuditEntryResponse::from)
}
