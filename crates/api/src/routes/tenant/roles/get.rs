//! Read one role.

use bulkhead_db::tenant::roles;
use bulkhead_domain::RoleName;

use super::RoleResponse;
use crate::http::{answer::Answer, call::TenantCall, error::ApiError, extract::Id};

/// Read a role
///
/// A built-in one, or one of the tenant's own.
#[utoipa::path(
    get, path = "/v1/roles/{id}", tag = "roles",
    params(("id" = String, Path, description = "The role's name.", example = "clerk")),
    responses((status = 200, description = "The role.", body = RoleResponse)),
)]
pub(crate) async fn get_role(call: TenantCall, Id(name): Id<RoleName>) -> Result<Answer, ApiError> {
    let access = call.state().access();
    if access.is_built_in(name) {
        return Ok(Answer::ok(&RoleResponse::built_in(access, &access.tenants().role(name)))?.version(1));
    }
    let found = call.read(async |tx| roles::find(tx, name).await).await?;
    let row = found.ok_or(ApiError::NotFound)?;
    let (version, view) = (row.version, RoleResponse::own(access, row));
    Ok(Answer::ok(&view)?.version(version))
}
