//! Remove a role.

use bulkhead_auth::grants::Hold;
use bulkhead_db::{TenantTx, tenant::roles};
use bulkhead_domain::{RoleName, permission::WRITE_ROLES};
use serde_json::json;

use super::{BUILT_IN, IN_USE};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader},
    },
    routes::tenant::{grants, lock_caller, refused},
};

/// Remove a role
///
/// It is refused while people have it, or API keys that work.
#[utoipa::path(
    delete, path = "/v1/roles/{id}", tag = "roles",
    params(("id" = String, Path, description = "The role's name.", example = "clerk"), IfMatchHeader),
    responses((status = 204, description = "Removed.")),
)]
pub(crate) async fn delete_role(
    call: TenantCall,
    Id(name): Id<RoleName>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    call.write(async |tx: &mut TenantTx| {
        if call.state().access().is_built_in(name) {
            return Err(BUILT_IN);
        }
        let own = lock_caller(tx, &call).await?;
        let grants = grants(tx, &call, own, WRITE_ROLES, &[name], Hold::Change).await?;
        let current = grants.row(name).cloned().ok_or(ApiError::NotFound)?;
        grants.may_take(name).map_err(refused)?;
        if_match.check(current.version)?;
        if roles::holders(tx, name).await?.is_any() {
            return Err(IN_USE);
        }
        roles::delete(tx, name).await?;
        roles::announce(tx).await?;
        let changes = json!({ "description": current.description, "permissions": current.permissions });
        Ok(Written::changed(name, changes, Answer::no_content()))
    })
    .await
}
