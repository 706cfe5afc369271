//! Change a role.

use bulkhead_auth::grants::Hold;
use bulkhead_db::{
    TenantTx,
    tenant::{
        one_time_tokens,
        roles::{self, RoleRow},
    },
};
use bulkhead_domain::{RoleName, permission::WRITE_ROLES};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{BUILT_IN, DESCRIPTION, RoleResponse, check_entries};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader, Json, RequestBody, present},
        validation::Fields,
    },
    routes::tenant::{grants, lock_caller, refused},
};

/// The fields to change; those left out stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateRoleRequest {
    /// What people say of it.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_length = 500, example = "Sees people and usage.")]
    description: Option<String>,
    /// All that it holds from now on. What it holds already may be such that does not exist any more.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_items = 100, example = json!(["read:users", "read:usage"]))]
    permissions: Option<Vec<String>>,
}

impl RequestBody for UpdateRoleRequest {}

/// Change a role
///
/// People and programs with the role may do what it holds from then on, on every node within seconds, without a new token. You
/// can change a role if your own role holds all that it holds before and after. A change that leaves everything as it is leaves
/// the version, too.
#[utoipa::path(
    patch, path = "/v1/roles/{id}", tag = "roles", request_body = UpdateRoleRequest,
    params(("id" = String, Path, description = "The role's name.", example = "clerk"), IfMatchHeader),
    responses((status = 200, description = "The role as it is now.", body = RoleResponse)),
)]
pub(crate) async fn update_role(
    call: TenantCall,
    Id(name): Id<RoleName>,
    if_match: IfMatch,
    Json(body): Json<UpdateRoleRequest>,
) -> Result<Answer, ApiError> {
    let access = call.state().access();
    let shown = |row: RoleRow| -> Result<Answer, ApiError> {
        let (version, view) = (row.version, RoleResponse::own(access, row));
        Ok(Answer::ok(&view)?.version(version))
    };
    call.write(async |tx: &mut TenantTx| {
        if access.is_built_in(name) {
            return Err(BUILT_IN);
        }
        let own = lock_caller(tx, &call).await?;
        let grants = grants(tx, &call, own, WRITE_ROLES, &[name], Hold::Change).await?;
        let current = grants.row(name).cloned().ok_or(ApiError::NotFound)?;
        grants.may_take(name).map_err(refused)?;
        if_match.check(current.version)?;
        let description = body.description.as_ref().unwrap_or(&current.description);
        let permissions = body.permissions.as_ref().unwrap_or(&current.permissions);
        let mut fields = Fields::default();
        fields.text("/description", description, 0, DESCRIPTION);
        check_entries(&mut fields, access, permissions, &current.permissions);
        fields.finish()?;
        grants.may_hold(name, permissions).map_err(refused)?;
        if (description, permissions) == (&current.description, &current.permissions) {
            return Ok(Written::unchanged(shown(current)?));
        }
        let changed = roles::update(tx, name, description, permissions, call.at()).await?;
        let row = changed.ok_or(ApiError::NotFound)?;
        one_time_tokens::take_back_resets(tx).await?;
        roles::announce(tx).await?;
        let changes = json!({
            "description": { "from": current.description, "to": row.description },
            "permissions": { "from": current.permissions, "to": row.permissions },
        });
        Ok(Written::changed(name, changes, shown(row)?))
    })
    .await
}
