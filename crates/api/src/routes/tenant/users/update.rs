//! Give a person another role.

use bulkhead_db::{
    TenantTx,
    gate::revocations::{Revoked, revoke},
    tenant::users::{self, Locked, User},
};
use bulkhead_domain::{RoleName, UserId};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::UserResponse;
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader, Json, RequestBody},
    },
    routes::tenant::check_grant,
};

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateUserRequest {
    /// The new role: `owner`, `admin`, `developer` or `read_only`.
    #[schema(example = "admin")]
    role: String,
}

impl RequestBody for UpdateUserRequest {}

/// Change a user's role
///
/// Tokens issued under the old role stop working within seconds; the user logs in again. The role that they have already
/// is no change.
#[utoipa::path(
    patch, path = "/v1/users/{id}", tag = "users", request_body = UpdateUserRequest,
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader),
    responses((status = 200, description = "The user as they are now.", body = UserResponse)),
)]
pub(crate) async fn update_user(
    call: TenantCall,
    Id(id): Id<UserId>,
    if_match: IfMatch,
    Json(body): Json<UpdateUserRequest>,
) -> Result<Answer, ApiError> {
    let roles = call.state().access().tenants();
    let role = roles.parse(&body.role).map_err(|error| ApiError::field("/role", error))?;
    call.write(async |tx| {
        let current = changeable(tx, &call, id, role == RoleName::OWNER).await?;
        check_grant(&call, role)?;
        if_match.check(current.version)?;
        if current.role == role {
            return Ok(Written::unchanged(shown(current)?));
        }
        let user = users::set_role(tx, id, role, call.at()).await?.ok_or(ApiError::NotFound)?;
        revoke(tx, Revoked::User(id)).await?;
        let changes = json!({ "role": { "from": current.role, "to": role } });
        Ok(Written::changed(id, changes, shown(user)?))
    })
    .await
}

fn shown(user: User) -> Result<Answer, ApiError> {
    let version = user.version;
    Ok(Answer::ok(&UserResponse::from(user))?.version(version))
}

/// The person, locked, if the caller may take their role away and an owner is left afterwards.
pub(super) async fn changeable(
    tx: &mut TenantTx,
    call: &TenantCall,
    id: UserId,
    stays_owner: bool,
) -> Result<User, ApiError> {
    let Locked { user, has_other_owners } = users::lock(tx, id).await?.ok_or(ApiError::NotFound)?;
    check_grant(call, user.role)?;
    if user.role == RoleName::OWNER && !stays_owner && !has_other_owners {
        return Err(ApiError::LastOwner);
    }
    Ok(user)
}
