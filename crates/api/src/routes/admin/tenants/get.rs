//! Read one tenant.

use actix_web::web::Data;
use bulkhead_db::platform::tenants;
use bulkhead_domain::TenantId;

use super::TenantResponse;
use crate::{
    answer::Answer,
    error::ApiError,
    extract::{Id, OperatorCaller},
    state::AppState,
};

/// Read a tenant
#[utoipa::path(
    get, path = "/v1/admin/tenants/{id}", tag = "tenants",
    params(("id" = String, Path, description = "The tenant's id.", example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1d")),
    responses((status = 200, description = "The tenant.", body = TenantResponse)),
)]
pub(crate) async fn get_tenant(
    state: Data<AppState>,
    caller: OperatorCaller,
    Id(id): Id<TenantId>,
) -> Result<Answer, ApiError> {
    let found = state.db.platform_read(caller.authority(), async |tx| tenants::find(tx, id).await).await?;
    let tenant = found.ok_or(ApiError::NotFound)?;
    let version = tenant.version;
    Ok(Answer::ok(&TenantResponse::from(tenant))?.version(version))
}
