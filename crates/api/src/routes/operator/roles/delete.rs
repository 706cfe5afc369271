//! Remove a role of operators.

use bulkhead_db::{PlatformTx, platform::operator_roles};
use bulkhead_domain::{RoleName, operator_permission::WRITE_OPERATORS};
use serde_json::json;

use super::{BUILT_IN, IN_USE};
use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader},
    },
    routes::operator::{grants, refused},
};

/// Remove a role of operators
///
/// It is refused while operators have it.
#[utoipa::path(
    delete, path = "/v1/admin/roles/{id}", tag = "operators: roles",
    params(("id" = String, Path, description = "The role's name.", example = "onboarding"), IfMatchHeader),
    responses((status = 204, description = "Removed.")),
)]
pub(crate) async fn delete_operator_role(
    call: OperatorCall,
    Id(name): Id<RoleName>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    call.write(async |tx: &mut PlatformTx| {
        if call.state().access().operators().is_built_in(name) {
            return Err(BUILT_IN);
        }
        let grants = grants(tx, &call, WRITE_OPERATORS).await?;
        let current = grants.row(name).cloned().ok_or(ApiError::NotFound)?;
        grants.may_take(name).map_err(refused)?;
        if_match.check(current.version)?;
        if grants.operators().with_role(name).next().is_some() {
            return Err(IN_USE);
        }
        operator_roles::delete(tx, name).await?;
        let changes = json!({ "description": current.description, "permissions": current.permissions });
        Ok(Written::changed(name, changes, Answer::no_content()))
    })
    .await
}
