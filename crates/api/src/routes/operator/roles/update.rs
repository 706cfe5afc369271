//! Change a role of operators.

use bulkhead_db::{
    PlatformTx,
    platform::{operator_roles, operators, revocations::revoke_operator},
    tenant::roles::RoleRow,
};
use bulkhead_domain::{RoleName, operator_permission::WRITE_OPERATORS};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{BUILT_IN, DESCRIPTION, OperatorRoleResponse, check_entries};
use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader, Json, RequestBody, present},
        validation::Fields,
    },
    routes::operator::{grants, refused},
};

/// The fields to change; those left out stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateOperatorRoleRequest {
    /// What people say of it.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_length = 500, example = "Creates tenants and looks after them.")]
    description: Option<String>,
    /// All that it holds from now on. What it holds already may be such that does not exist any more.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_items = 100, example = json!(["read:tenants", "write:tenants"]))]
    permissions: Option<Vec<String>>,
}

impl RequestBody for UpdateOperatorRoleRequest {}

/// Change a role of operators
///
/// What it holds from then on counts at once. Access tokens of operators with the role stop working within seconds, those with which
/// they act as a tenant's people, too; their clients get others with their refresh tokens. You can change a role if your own role
/// holds all that it holds before and after.
#[utoipa::path(
    patch, path = "/v1/admin/roles/{id}", tag = "operators: roles", request_body = UpdateOperatorRoleRequest,
    params(("id" = String, Path, description = "The role's name.", example = "onboarding"), IfMatchHeader),
    responses((status = 200, description = "The role as it is now.", body = OperatorRoleResponse)),
)]
pub(crate) async fn update_operator_role(
    call: OperatorCall,
    Id(name): Id<RoleName>,
    if_match: IfMatch,
    Json(body): Json<UpdateOperatorRoleRequest>,
) -> Result<Answer, ApiError> {
    let access = call.state().access();
    let shown = |row: RoleRow| -> Result<Answer, ApiError> {
        let (version, view) = (row.version, OperatorRoleResponse::own(access, row));
        Ok(Answer::ok(&view)?.version(version))
    };
    call.write(async |tx: &mut PlatformTx| {
        if access.operators().is_built_in(name) {
            return Err(BUILT_IN);
        }
        let grants = grants(tx, &call, WRITE_OPERATORS).await?;
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
        let changed = operator_roles::update(tx, name, description, permissions, call.at()).await?;
        let row = changed.ok_or(ApiError::NotFound)?;
        if row.permissions != current.permissions {
            operators::take_back_all(tx).await?;
            for operator in grants.operators().with_role(name) {
                revoke_operator(tx, operator.id).await?;
            }
        }
        let changes = json!({
            "description": { "from": current.description, "to": row.description },
            "permissions": { "from": current.permissions, "to": row.permissions },
        });
        Ok(Written::changed(name, changes, shown(row)?))
    })
    .await
}
