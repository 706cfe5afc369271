//! Revoke an API key.

use bulkhead_auth::grants::{Hold, lock_caller_and};
use bulkhead_db::{
    gate::revocations::{Revoked, announce_change, revoke},
    tenant::api_keys::{self, Grantor},
};
use bulkhead_domain::{ApiKeyId, PermissionSet, permission::WRITE_API_KEYS};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::below::{Below, ConcernedKeysResponse, KeysQuery};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, Query},
    },
    routes::tenant::{grants, refused},
};

/// What has become of the API keys for which somebody has answered who is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RemovedResponse {
    /// The API keys that this has concerned.
    pub(crate) api_keys: ConcernedKeysResponse,
}

/// The answer to a removal: 204, or the keys that it has concerned.
pub(crate) fn removed(concerned: Option<ConcernedKeysResponse>) -> Result<Answer, ApiError> {
    concerned.map_or_else(|| Ok(Answer::no_content()), |api_keys| Answer::ok(&RemovedResponse { api_keys }))
}

/// Revoke an API key
///
/// It stops working within seconds, on every node. Its entry stays for 30 days, unless a thousand others are revoked after it.
/// Keys that were made with it are disabled, unless you keep them: then you answer for them. The answer names them, if there
/// are any.
#[utoipa::path(
    delete, path = "/v1/api-keys/{id}", tag = "api-keys",
    params(("id" = String, Path, description = "The key's id.", example = "key_01jd3e2x6m7k9v4q8t5b2n0c1c"), KeysQuery),
    responses(
        (status = 200, description = "Revoked, and what has become of the keys that were made with it.", body = RemovedResponse),
        (status = 204, description = "Revoked, now or before."),
    ),
)]
pub(crate) async fn delete_api_key(
    call: TenantCall,
    Id(id): Id<ApiKeyId>,
    Query(query): Query<KeysQuery>,
) -> Result<Answer, ApiError> {
    let choice = query.choice()?;
    call.write(async |tx| {
        // People before keys, and both keys at once: db/src/tenant/roles.rs says why.
        let (own, locked) = lock_caller_and(tx, call.principal(), &[id]).await?;
        let key = locked.into_iter().next().ok_or(ApiError::NotFound)?;
        let below = Below::read(tx, &call, Grantor::Key(id)).await?;
        let roles: Vec<_> = below.roles().into_iter().chain([key.role]).collect();
        let grants = grants(tx, &call, own, WRITE_API_KEYS, &roles, Hold::Give).await?;
        grants.may_take_key(key.role, key.scopes.as_deref()).map_err(refused)?;
        if api_keys::revoke(tx, id, call.at()).await?.is_none() {
            return Ok(Written::unchanged(Answer::no_content()));
        }
        let concerned = below.settle(tx, &call, &grants, PermissionSet::EMPTY, choice).await?;
        revoke(tx, Revoked::ApiKey(id)).await?;
        if !below.is_empty() {
            announce_change(tx).await?;
        }
        let changes =
            json!({ "name": key.name, "api_keys": concerned.as_ref().map(ConcernedKeysResponse::audited) });
        Ok(Written::changed(id, changes, removed(concerned)?))
    })
    .await
}
