//! Revoke an API key.

use actix_web::web::Data;
use bulkhead_db::{
    gate::revocations::{Revoked, revoke},
    tenant::api_keys,
};
use bulkhead_domain::ApiKeyId;
use serde_json::json;

use crate::http::{
    answer::Answer,
    error::ApiError,
    extract::{Id, TenantCaller},
    state::AppState,
};

/// Revoke an API key
///
/// It stops working within seconds, on every node. Its entry stays for 30 days, unless a thousand others are revoked after it.
#[utoipa::path(
    delete, path = "/v1/api-keys/{id}", tag = "api-keys",
    params(("id" = String, Path, description = "The key's id.", example = "key_01jd3e2x6m7k9v4q8t5b2n0c1d")),
    responses((status = 204, description = "Revoked, now or before.")),
)]
pub(crate) async fn delete_api_key(
    state: Data<AppState>,
    caller: TenantCaller,
    Id(id): Id<ApiKeyId>,
) -> Result<Answer, ApiError> {
    let at = state.clock.now();
    state
        .db
        .write(caller.tenant, async |tx| {
            let key = api_keys::find(tx, id).await?.ok_or(ApiError::NotFound)?;
            if !caller.role.may_grant(key.role) {
                return Err(ApiError::RoleNotGrantable { role: key.role.as_str() });
            }
            if api_keys::revoke(tx, id, at).await?.is_some() {
                revoke(tx, Revoked::ApiKey(id)).await?;
                caller.audit(tx, at, &id, json!({ "name": key.name })).await?;
            }
            Ok(Answer::no_content())
        })
        .await
}
