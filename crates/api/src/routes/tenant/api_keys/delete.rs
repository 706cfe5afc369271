//! Revoke an API key.

use bulkhead_db::{
    gate::revocations::{Revoked, revoke},
    tenant::api_keys,
};
use bulkhead_domain::ApiKeyId;
use serde_json::json;

use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::Id,
    },
    routes::tenant::check_grant,
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
        let key = api_keys::find(tx, id).await?.ok_or(ApiError::NotFound)?;
        check_grant(&call, key.role)?;
        if api_keys::revoke(tx, id, call.at()).await?.is_none() {
            return Ok(Written::unchanged(Answer::no_content()));
        }
        revoke(tx, Revoked::ApiKey(id)).await?;
        Ok(Written::changed(id, json!({ "name": key.name }), Answer::no_content()))
    })
    .await
}
