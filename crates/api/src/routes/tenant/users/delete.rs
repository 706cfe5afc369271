//! Remove a person.

use bulkhead_db::{
    TenantTx,
    gate::revocations::{Revoked, announce_change, revoke},
    tenant::{provider_accounts, users},
};
use bulkhead_domain::{PermissionSet, UserId};
use bulkhead_jobs::SettleAccount;
use serde_json::json;

use super::update::{Changeable, changeable};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader, Query},
    },
    routes::tenant::api_keys::{
        below::{ConcernedKeysResponse, KeysChoice, KeysQuery},
        delete::{RemovedResponse, removed},
    },
};

/// Remove a user
///
/// Their sessions end, and their tokens stop working within seconds. API keys for which they answer are disabled, unless you keep
/// them: then you answer for them. The answer names them, if there are any. An account that was made at an identity provider when they
/// were added is removed there, soon afterwards.
#[utoipa::path(
    delete, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader, KeysQuery),
    responses(
        (status = 200, description = "Removed, and what has become of the API keys for which they have answered.", body = RemovedResponse),
        (status = 204, description = "Removed."),
    ),
)]
pub(crate) async fn delete_user(
    call: TenantCall,
    Id(id): Id<UserId>,
    if_match: IfMatch,
    Query(query): Query<KeysQuery>,
) -> Result<Answer, ApiError> {
    let choice = query.choice()?;
    call.write(async |tx| {
        let person = changeable(tx, &call, id, None).await?;
        let current = &person.user;
        if_match.check(current.version)?;
        let concerned = remove(tx, &call, &person, choice).await?;
        let mut changes = json!({ "email": current.email, "role": current.role });
        if let (Some(concerned), Some(changes)) = (&concerned, changes.as_object_mut()) {
            changes.insert("api_keys".to_owned(), concerned.audited());
        }
        Ok(Written::changed(id, changes, removed(concerned)?))
    })
    .await
}

/// Removes the person, and does with the API keys for which they answer as `choice` says; what has become of those, if there are any.
pub(super) async fn remove(
    tx: &mut TenantTx,
    call: &TenantCall,
    person: &Changeable<'_>,
    choice: KeysChoice,
) -> Result<Option<ConcernedKeysResponse>, ApiError> {
    let Changeable { user, grants, below } = person;
    let concerned = below.settle(tx, call, grants, PermissionSet::EMPTY, choice).await?;
    users::delete(tx, user.id).await?;
    if provider_accounts::find(tx, user.id).await?.is_some() {
        call.enqueue(tx, &SettleAccount { user: user.id }).await?;
    }
    revoke(tx, Revoked::User(user.id)).await?;
    if !below.is_empty() {
        announce_change(tx).await?;
    }
    Ok(concerned)
}
