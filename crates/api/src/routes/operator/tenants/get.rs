//! Read one tenant.

use bulkhead_db::platform::tenants;
use bulkhead_domain::TenantId;

use super::TenantResponse;
use crate::http::{answer::Answer, call::OperatorCall, error::ApiError, extract::Id};

/// Read a tenant
///
/// Of one that is being removed, or was, with the receipt that says what.
#[utoipa::path(
    get, path = "/v1/admin/tenants/{id}", tag = "operators: tenants",
    params(("id" = String, Path, description = "The tenant's id.", example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 200, description = "The tenant.", body = TenantResponse)),
)]
pub(crate) async fn get_tenant(call: OperatorCall, Id(id): Id<TenantId>) -> Result<Answer, ApiError> {
    let find = async |tx: &mut _| tenants::find_with_purge(tx, id).await;
    let found = call.read(find).await?;
    let (tenant, purge) = found.ok_or(ApiError::NotFound)?;
    let version = tenant.version;
    let mut view = TenantResponse::with_purge(tenant, purge.as_ref());
    view.receipt = purge.map(Into::into);
    Ok(Answer::ok(&view)?.version(version))
}
