//! Revoke an API key.

use bulkhead_auth::grants::Hold;
use bulkhead_db::{
    gate::revocations::{Revoked, revoke},
    tenant::api_keys::{self, Locked},
};
use bulkhead_domain::{ApiKeyId, permission::WRITE_API_KEYS};
use serde_json::json;

use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::Id,
    },
    routes::tenant::{grants, lock_caller, refused},
};

/// Revoke an API key
///
/// It stops working within seconds, on every node. Its entry stays for 30 days, unless a thousand others are revoked after it.
#[utoipa::path(
    delete, path = "/v1/api-keys/{id}", tag = "api-keys",
    params(("id" = String, Path, description = "The key's id.", example = "key_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 204, description = "Revoked, now or before.")),
)]
pub(crate) async fn delete_api_key(call: TenantCall, Id(id): Id<ApiKeyId>) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        let caller = call.principal();
        // People before keys, and both keys at once: db/src/tenant/roles.rs says why.
        let person = if caller.user().is_some() { lock_caller(tx, &call).await? } else { None };
        let Locked { key, by } = api_keys::lock(tx, id, caller.api_key()).await?.ok_or(ApiError::NotFound)?;
        let grants = grants(tx, &call, person.or(by), WRITE_API_KEYS, &[key.role], Hold::Give).await?;
        grants.may_take(key.role).map_err(refused)?;
        if api_keys::revoke(tx, id, call.at()).await?.is_none() {
            return Ok(Written::unchanged(Answer::no_content()));
        }
        revoke(tx, Revoked::ApiKey(id)).await?;
        Ok(Written::changed(id, json!({ "name": key.name }), Answer::no_content()))
    })
    .await
}
