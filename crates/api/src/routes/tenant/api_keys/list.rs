//! List API keys.

use bulkhead_db::tenant::api_keys;
use bulkhead_domain::ApiKeyId;

use super::ApiKeyResponse;
use crate::http::{
    answer::Answer,
    call::TenantCall,
    error::ApiError,
    extract::{PageQuery, PageResponse, Query},
};

/// List API keys
///
/// In the order in which their rows were begun, revoked ones too.
#[utoipa::path(
    get, path = "/v1/api-keys", tag = "api-keys", params(PageQuery),
    responses((status = 200, description = "A page of API keys.", body = PageResponse<ApiKeyResponse>)),
)]
pub(crate) async fn list_api_keys(
    call: TenantCall,
    Query(query): Query<PageQuery>,
) -> Result<Answer, ApiError> {
    let page = query.request(ApiKeyId::uuid)?;
    let rows = call.read(async |tx| api_keys::list(tx, page).await).await?;
    call.page(rows, |row| row.id, ApiKeyResponse::from)
}
