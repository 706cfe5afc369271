//! List roles.

use bulkhead_db::tenant::roles;
use serde::Serialize;
use utoipa::ToSchema;

use super::RoleResponse;
use crate::http::{answer::Answer, call::TenantCall, error::ApiError};

/// All roles.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RolesResponse {
    /// The built-in ones, the highest first, then the tenant's own by name.
    data: Vec<RoleResponse>,
}

/// List roles
///
/// All of them: the built-in ones and the tenant's own, of which there are at most 50. The role `owner` shows every permission
/// that exists.
#[utoipa::path(
    get, path = "/v1/roles", tag = "roles",
    responses((status = 200, description = "The roles.", body = RolesResponse)),
)]
pub(crate) async fn list_roles(call: TenantCall) -> Result<Answer, ApiError> {
    let access = call.state().access();
    let rows = call.read(async |tx| roles::list(tx).await).await?;
    let built_in = access.tenants().roles().iter().map(|role| RoleResponse::built_in(access, role));
    let data = built_in.chain(rows.into_iter().map(|row| RoleResponse::own(access, row))).collect();
    Answer::ok(&RolesResponse { data })
}
