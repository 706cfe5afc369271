//! Read one API key.

use bulkhead_db::tenant::api_keys;
use bulkhead_domain::ApiKeyId;

use super::ApiKeyResponse;
use crate::http::{answer::Answer, call::TenantCall, error::ApiError, extract::Id};

/// Read an API key
///
/// Never its secret.
#[utoipa::path(
    get, path = "/v1/api-keys/{id}", tag = "api-keys",
    params(("id" = String, Path, description = "The key's id.", example = "key_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 200, description = "The key.", body = ApiKeyResponse)),
)]
pub(crate) async fn get_api_key(call: TenantCall, Id(id): Id<ApiKeyId>) -> Result<Answer, ApiError> {
    let found = call.read(async |tx| api_keys::find(tx, id).await).await?;
    Answer::ok(&ApiKeyResponse::from(found.ok_or(ApiError::NotFound)?))
}
