//! Make a role of operators.

use bulkhead_db::{
    platform::operator_roles::{self, MOST},
    tenant::roles::NewRole,
};
use bulkhead_domain::{
    AccessRegistry, RoleName, access::read_own_role, operator_permission::WRITE_OPERATORS,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{DESCRIPTION, HAD_BEFORE, OperatorRoleResponse, TOO_MANY, check_entries};
use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json, RequestBody},
        validation::{Fields, taken},
    },
    routes::operator::{grants, refused},
};

/// A role to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateOperatorRoleRequest {
    /// Its name: a lower-case letter, then at most 30 lower-case letters, digits and underscores. It never changes.
    #[schema(min_length = 1, max_length = 31, pattern = "^[a-z][a-z0-9_]{0,30}$", example = "onboarding")]
    name: String,
    /// What people say of it.
    #[serde(default)]
    #[schema(nullable = false, max_length = 500, example = "Creates tenants.")]
    description: String,
    /// What it holds: permissions, which the role `admin` shows all of, and wildcards like `read:*`, `*:tenants` and `*:*`.
    #[schema(max_items = 100, example = json!(["read:tenants", "write:tenants"]))]
    permissions: Vec<String>,
}

impl RequestBody for CreateOperatorRoleRequest {}

/// Make a role of operators
///
/// You can let it hold what your own role holds, and a wildcard only if you are an admin or your own role has it: a wildcard also
/// stands for permissions that come later. There are at most 200 besides the built-in ones.
#[utoipa::path(
    post, path = "/v1/admin/roles", tag = "operators: roles", params(IdempotencyKeyHeader),
    request_body = CreateOperatorRoleRequest,
    responses((status = 201, description = "Made.", body = OperatorRoleResponse)),
)]
pub(crate) async fn create_operator_role(
    call: OperatorCall,
    Json(body): Json<CreateOperatorRoleRequest>,
) -> Result<Answer, ApiError> {
    let access = call.state().access();
    let name = parse(&body, access)?;
    let new = NewRole {
        name,
        description: &body.description,
        permissions: &body.permissions,
        created_by: call.subject(),
        at: call.at(),
    };
    call.write(async |tx| {
        let grants = grants(tx, &call, WRITE_OPERATORS).await?;
        grants.may_hold(name, &body.permissions).map_err(refused)?;
        if grants.defined() >= MOST {
            return Err(TOO_MANY);
        }
        // A newer version may have given a role of this name that this one does not know.
        if grants.operators().with_role(name).next().is_some() {
            return Err(HAD_BEFORE);
        }
        let row = operator_roles::insert(tx, &new).await.map_err(taken("role name"))?;
        let changes = json!({ "description": row.description, "permissions": row.permissions });
        let (version, view) = (row.version, OperatorRoleResponse::own(access, row));
        let answer = Answer::created(format!("/v1/admin/roles/{name}"), &view)?.version(version);
        Ok(Written::changed(name, changes, answer))
    })
    .await
}

fn parse(request: &CreateOperatorRoleRequest, access: &AccessRegistry) -> Result<RoleName, ApiError> {
    let mut fields = Fields::default();
    let name = fields.take("/name", read_own_role(&request.name));
    fields.text("/description", &request.description, 0, DESCRIPTION);
    check_entries(&mut fields, access, &request.permissions, &[]);
    fields.finish()?;
    name.ok_or_else(|| ApiError::internal("a name that was refused"))
}
