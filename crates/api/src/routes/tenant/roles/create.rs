//! Make a role.

use bulkhead_auth::grants::Hold;
use bulkhead_db::tenant::{
    caps::{self, Capped},
    roles::{self, NewRole},
};
use bulkhead_domain::{AccessRegistry, RoleName, permission::WRITE_ROLES};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{DESCRIPTION, HAD_BEFORE, RoleResponse, TOO_MANY, check_entries};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json, RequestBody},
        validation::{Fields, taken},
    },
    routes::tenant::{grants, lock_caller, refused},
};

/// A role to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRoleRequest {
    /// Its name: a lower-case letter, then at most 30 lower-case letters, digits and underscores. It never changes.
    #[schema(min_length = 1, max_length = 31, pattern = "^[a-z][a-z0-9_]{0,30}$", example = "clerk")]
    name: String,
    /// What people say of it.
    #[serde(default)]
    #[schema(nullable = false, max_length = 500, example = "Sees people, sends invoices.")]
    description: String,
    /// What it holds: permissions, which the role `owner` shows all of, and wildcards like `read:*`, `*:users` and `*:*`.
    #[schema(max_items = 100, example = json!(["read:users", "read:usage"]))]
    permissions: Vec<String>,
}

impl RequestBody for CreateRoleRequest {}

/// Make a role
///
/// You can let it hold what your own role holds, and a wildcard only if you are an owner or your own role has it: a wildcard also
/// stands for permissions that come later. A tenant has at most 50 roles of its own.
#[utoipa::path(
    post, path = "/v1/roles", tag = "roles", params(IdempotencyKeyHeader), request_body = CreateRoleRequest,
    responses((status = 201, description = "Made.", body = RoleResponse)),
)]
pub(crate) async fn create_role(
    call: TenantCall,
    Json(body): Json<CreateRoleRequest>,
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
    let create = async |tx: &mut _| {
        let own = lock_caller(tx, &call).await?;
        let grants = grants(tx, &call, own, WRITE_ROLES, &[], Hold::Give).await?;
        grants.may_hold(name, &body.permissions).map_err(refused)?;
        if caps::claim(tx, Capped::Roles).await?.is_reached() {
            return Err(TOO_MANY);
        }
        // A newer version may have given a role of this name that is not the tenant's own.
        if roles::holders(tx, name).await?.is_any() {
            return Err(HAD_BEFORE);
        }
        let row = roles::insert(tx, &new).await.map_err(taken("role name"))?;
        // A node may remember that there is no such role.
        roles::announce(tx).await?;
        let changes = json!({ "description": row.description, "permissions": row.permissions });
        let (version, view) = (row.version, RoleResponse::own(access, row));
        let answer = Answer::created(format!("/v1/roles/{name}"), &view)?.version(version);
        Ok(Written::changed(name, changes, answer))
    };
    call.write(create).await
}

fn parse(request: &CreateRoleRequest, access: &AccessRegistry) -> Result<RoleName, ApiError> {
    let mut fields = Fields::default();
    let name = fields.take("/name", access.read_own_role(&request.name));
    fields.text("/description", &request.description, 0, DESCRIPTION);
    check_entries(&mut fields, access, &request.permissions, &[]);
    fields.finish()?;
    name.ok_or_else(|| ApiError::internal("a name that was refused"))
}
