//! Let a disabled API key work again.

use bulkhead_auth::grants::{Hold, lock_caller_and};
use bulkhead_db::{
    TenantTx,
    gate::revocations::announce_change,
    tenant::{
        api_keys::{self, Grantor},
        users,
    },
};
use bulkhead_domain::{ApiKeyId, permission::WRITE_API_KEYS};
use serde_json::json;

use super::{ApiKeyResponse, ENDED, NOT_DISABLED};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, IdempotencyKeyHeader},
    },
    routes::tenant::{grants, refused},
};

/// Enable an API key
///
/// It works again within seconds, on every node, with what it holds now. You can enable a key that you could make. If the one is
/// gone who has answered for it, you do from now on, which takes a person.
#[utoipa::path(
    post, path = "/v1/api-keys/{id}/enable", tag = "api-keys",
    params(("id" = String, Path, description = "The key's id.", example = "key_01jd3e2x6m7k9v4q8t5b2n0c1c"), IdempotencyKeyHeader),
    responses((status = 200, description = "Enabled.", body = ApiKeyResponse)),
)]
pub(crate) async fn enable_api_key(call: TenantCall, Id(id): Id<ApiKeyId>) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        let (own, locked) = lock_caller_and(tx, call.principal(), &[id]).await?;
        let key = locked.into_iter().next().ok_or(ApiError::NotFound)?;
        let grants = grants(tx, &call, own, WRITE_API_KEYS, &[key.role], Hold::Give).await?;
        grants.may_take_key(key.role, key.scopes.as_deref()).map_err(refused)?;
        if !key.is_living(call.at()) {
            return Err(ENDED);
        }
        if key.disabled_at.is_none() {
            return Err(NOT_DISABLED);
        }
        if !is_there(tx, &call, key.grantor()).await? {
            let person = call.principal().user().ok_or(ApiError::PersonRequired)?;
            api_keys::regrant(tx, id, Grantor::User(person), None).await?;
        }
        let row = api_keys::enable(tx, id).await?.ok_or(ApiError::NotFound)?;
        announce_change(tx).await?;
        let view = ApiKeyResponse::from(row);
        let changes = json!({ "name": view.name, "granted_by": view.granted_by });
        Ok(Written::changed(id, changes, Answer::ok(&view)?))
    })
    .await
}

/// Whether one who answers for a key can hold anything, now or later.
async fn is_there(tx: &mut TenantTx, call: &TenantCall, grantor: Grantor) -> Result<bool, ApiError> {
    Ok(match grantor {
        Grantor::User(id) => users::find(tx, id).await?.is_some(),
        Grantor::Key(id) => api_keys::find(tx, id).await?.is_some_and(|key| key.is_living(call.at())),
        Grantor::Nobody => false,
    })
}
