//! Read one role of operators.

use bulkhead_db::platform::operator_roles;
use bulkhead_domain::RoleName;

use super::OperatorRoleResponse;
use crate::http::{answer::Answer, call::OperatorCall, error::ApiError, extract::Id};

/// Read a role of operators
#[utoipa::path(
    get, path = "/v1/admin/roles/{id}", tag = "operators: roles",
    params(("id" = String, Path, description = "The role's name.", example = "onboarding")),
    responses((status = 200, description = "The role.", body = OperatorRoleResponse)),
)]
pub(crate) async fn get_operator_role(
    call: OperatorCall,
    Id(name): Id<RoleName>,
) -> Result<Answer, ApiError> {
    let access = call.state().access();
    if access.operators().is_built_in(name) {
        let view = OperatorRoleResponse::built_in(access, &access.operators().role(name));
        return Ok(Answer::ok(&view)?.version(1));
    }
    let found = call.read(async |tx| operator_roles::find(tx, name).await).await?;
    let row = found.ok_or(ApiError::NotFound)?;
    let (version, view) = (row.version, OperatorRoleResponse::own(access, row));
    Ok(Answer::ok(&view)?.version(version))
}
