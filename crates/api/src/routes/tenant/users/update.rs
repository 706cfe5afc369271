//! Give a person another role.

use bulkhead_auth::{Grants, grants::Hold};
use bulkhead_db::{
    TenantTx,
    gate::revocations::{Revoked, revoke},
    tenant::users::{self, Locked, User},
};
use bulkhead_domain::{RoleName, UserId, permission::WRITE_USERS};
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
    routes::tenant::{grants, lock_caller, refused},
};

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateUserRequest {
    /// The new role: `owner`, `admin`, `developer`, `read_only` or one of the tenant's own roles.
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
    let role =
        call.state().access().read_role(&body.role).map_err(|error| ApiError::field("/role", error))?;
    call.write(async |tx| {
        let (current, grants) = changeable(tx, &call, id, Some(role)).await?;
        grants.may_give(role).map_err(refused)?;
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

/// The person, locked, if the caller may take their role away and an owner is left afterwards; and what the caller may give.
/// `next` is the role that the person is to have, if they stay.
pub(super) async fn changeable<'a>(
    tx: &mut TenantTx,
    call: &'a TenantCall,
    id: UserId,
    next: Option<RoleName>,
) -> Result<(User, Grants<'a>), ApiError> {
    let (Locked { user, has_other_owners, .. }, grants) = within_reach(tx, call, id, next).await?;
    if user.role == RoleName::OWNER && next != Some(RoleName::OWNER) && !has_other_owners {
        return Err(ApiError::LastOwner);
    }
    Ok((user, grants))
}

/// The person, locked, if the caller may take their role away; and what the caller may give.
pub(super) async fn within_reach<'a>(
    tx: &mut TenantTx,
    call: &'a TenantCall,
    id: UserId,
    next: Option<RoleName>,
) -> Result<(Locked, Grants<'a>), ApiError> {
    let caller = call.principal();
    let locked = users::lock(tx, id, caller.user()).await?.ok_or(ApiError::NotFound)?;
    let own = if caller.user().is_some() { locked.by } else { lock_caller(tx, call).await? };
    let named: Vec<RoleName> = [locked.user.role].into_iter().chain(next).collect();
    let grants = grants(tx, call, own, WRITE_USERS, &named, Hold::Give).await?;
    grants.may_take(locked.user.role).map_err(refused)?;
    Ok((locked, grants))
}
