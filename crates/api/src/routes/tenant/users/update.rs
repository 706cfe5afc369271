//! Give a person another role.

use bulkhead_auth::{
    Grants,
    grants::{Caller, Hold, person_behind},
};
use bulkhead_db::{
    TenantTx,
    gate::revocations::{Revoked, announce_change, revoke},
    tenant::{
        api_keys::Grantor,
        users::{self, Locked, User},
    },
};
use bulkhead_domain::{RoleName, UserId, permission::WRITE_USERS};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader, Json, RequestBody, present},
    },
    routes::tenant::{
        api_keys::below::{Below, ConcernedKeysResponse, KeysChoice},
        grants, lock_caller, refused,
    },
};

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateUserRequest {
    /// The new role: `owner`, `admin`, `developer`, `read_only` or one of the tenant's own roles.
    #[schema(example = "admin")]
    role: String,
    /// What becomes of the API keys for which the user answers. `lower`: they hold what the user holds now, as they do if this is
    /// left out. `disable`: they work no more until somebody enables them. `keep`: they hold what they have held, and you answer
    /// for them; you can keep keys alone that you could make.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, value_type = Option<String>, example = "lower")]
    api_keys: Option<KeysChoice>,
}

impl RequestBody for UpdateUserRequest {}

/// A user as they are now, and what has become of the API keys for which they answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpdatedUserResponse {
    /// Their id.
    #[schema(value_type = String, example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: UserId,
    /// Their address.
    #[schema(example = "grace@example.com")]
    email: String,
    /// What they may do.
    #[schema(value_type = String, example = "developer")]
    role: RoleName,
    /// Grows by one with every change; the ETag says the same.
    #[schema(example = 2)]
    version: i64,
    /// When they were added.
    created_at: DateTime<Utc>,
    /// When they were last changed.
    updated_at: DateTime<Utc>,
    /// The API keys that the change has concerned, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    api_keys: Option<ConcernedKeysResponse>,
}

/// Change a user's role
///
/// Tokens issued under the old role stop working within seconds; the user logs in again. The role that they have already
/// is no change. API keys for which the user answers hold at most what the user holds, from then on; the answer names those that
/// the change has concerned.
#[utoipa::path(
    patch, path = "/v1/users/{id}", tag = "users", request_body = UpdateUserRequest,
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader),
    responses((status = 200, description = "The user as they are now.", body = UpdatedUserResponse)),
)]
pub(crate) async fn update_user(
    call: TenantCall,
    Id(id): Id<UserId>,
    if_match: IfMatch,
    Json(body): Json<UpdateUserRequest>,
) -> Result<Answer, ApiError> {
    let role =
        call.state().access().read_role(&body.role).map_err(|error| ApiError::field("/role", error))?;
    let choice = body.api_keys.unwrap_or(KeysChoice::Lower);
    call.write(async |tx| {
        let Changeable { user: current, grants, below } = changeable(tx, &call, id, Some(role)).await?;
        grants.may_give(role).map_err(refused)?;
        if_match.check(current.version)?;
        if current.role == role {
            return Ok(Written::unchanged(shown(current, None)?));
        }
        let user = users::set_role(tx, id, role, call.at()).await?.ok_or(ApiError::NotFound)?;
        let concerned = below.settle(tx, &call, &grants, grants.held(role), choice).await?;
        revoke(tx, Revoked::User(id)).await?;
        if !below.is_empty() {
            announce_change(tx).await?;
        }
        let mut changes = json!({ "role": { "from": current.role, "to": role } });
        if let (Some(concerned), Some(changes)) = (&concerned, changes.as_object_mut()) {
            changes.insert("api_keys".to_owned(), concerned.audited());
        }
        Ok(Written::changed(id, changes, shown(user, concerned)?))
    })
    .await
}

fn shown(user: User, api_keys: Option<ConcernedKeysResponse>) -> Result<Answer, ApiError> {
    let User { id, email, role, version, created_at, updated_at } = user;
    let view = UpdatedUserResponse { id, email, role, version, created_at, updated_at, api_keys };
    Ok(Answer::ok(&view)?.version(version))
}

/// A person who may be changed.
pub(super) struct Changeable<'a> {
    /// The person, locked.
    pub(super) user: User,
    /// What the caller may give.
    pub(super) grants: Grants<'a>,
    /// The API keys for which the person answers.
    pub(super) below: Below,
}

/// The person, if the caller may take their role away and an owner is left afterwards. `next` is the role that the person is to
/// have, if they stay.
pub(super) async fn changeable<'a>(
    tx: &mut TenantTx,
    call: &'a TenantCall,
    id: UserId,
    next: Option<RoleName>,
) -> Result<Changeable<'a>, ApiError> {
    let (Locked { user, has_other_owners, .. }, own) = locked(tx, call, id).await?;
    let below = Below::read(tx, call, Grantor::User(id)).await?;
    let named: Vec<RoleName> = [user.role].into_iter().chain(next).chain(below.roles()).collect();
    let grants = grants(tx, call, own, WRITE_USERS, &named, Hold::Give).await?;
    grants.may_take(user.role).map_err(refused)?;
    if user.role == RoleName::OWNER && next != Some(RoleName::OWNER) && !has_other_owners {
        return Err(ApiError::LastOwner);
    }
    Ok(Changeable { user, grants, below })
}

/// Refuses a caller who may not take the person's role away. The person stays locked.
pub(super) async fn within_reach(tx: &mut TenantTx, call: &TenantCall, id: UserId) -> Result<(), ApiError> {
    let (Locked { user, .. }, own) = locked(tx, call, id).await?;
    let grants = grants(tx, call, own, WRITE_USERS, &[user.role], Hold::Give).await?;
    grants.may_take(user.role).map_err(refused)
}

/// The person, locked together with the one who answers for the caller, and what the caller is.
pub(in crate::routes::tenant) async fn locked(
    tx: &mut TenantTx,
    call: &TenantCall,
    id: UserId,
) -> Result<(Locked, Option<Caller>), ApiError> {
    let behind = person_behind(tx, call.principal()).await?;
    let locked = users::lock(tx, id, behind).await?.ok_or(ApiError::NotFound)?;
    let own = if call.principal().user().is_some() {
        locked.by.map(Caller::from)
    } else {
        lock_caller(tx, call).await?
    };
    Ok((locked, own))
}
