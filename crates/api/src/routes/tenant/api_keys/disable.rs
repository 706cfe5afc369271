//! Let an API key work no more for a while.

use bulkhead_auth::grants::{Hold, lock_caller_and};
use bulkhead_db::{
    gate::revocations::{Revoked, announce_change, revoke},
    tenant::api_keys,
};
use bulkhead_domain::{ApiKeyId, permission::WRITE_API_KEYS};
use serde_json::json;

use super::{ApiKeyResponse, ENDED};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, IdempotencyKeyHeader},
    },
    routes::tenant::{grants, refused},
};

/// Disable an API key
///
/// It works no more within seconds, on every node, until it is enabled. Until then keys that were made with it hold nothing. It
/// counts among the keys that the plan allows.
#[utoipa::path(
    post, path = "/v1/api-keys/{id}/disable", tag = "api-keys",
    params(("id" = String, Path, description = "The key's id.", example = "key_01jd3e2x6m7k9v4q8t5b2n0c1c"), IdempotencyKeyHeader),
    responses((status = 200, description = "Disabled, now or before.", body = ApiKeyResponse)),
)]
pub(crate) async fn disable_api_key(call: TenantCall, Id(id): Id<ApiKeyId>) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        let (own, locked) = lock_caller_and(tx, call.principal(), &[id]).await?;
        let key = locked.into_iter().next().ok_or(ApiError::NotFound)?;
        let grants = grants(tx, &call, own, WRITE_API_KEYS, &[key.role], Hold::Give).await?;
        grants.may_take_key(key.role, key.scopes.as_deref()).map_err(refused)?;
        if !key.is_living(call.at()) {
            return Err(ENDED);
        }
        if key.disabled_at.is_some() {
            return Ok(Written::unchanged(Answer::ok(&ApiKeyResponse::from(key))?));
        }
        api_keys::disable(tx, &[id], call.at()).await?;
        let row = api_keys::find(tx, id).await?.ok_or(ApiError::NotFound)?;
        revoke(tx, Revoked::ApiKey(id)).await?;
        announce_change(tx).await?;
        let changes = json!({ "name": row.name });
        Ok(Written::changed(id, changes, Answer::ok(&ApiKeyResponse::from(row))?))
    })
    .await
}
