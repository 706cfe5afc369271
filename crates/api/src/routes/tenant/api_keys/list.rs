//! List API keys.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use bulkhead_db::tenant::api_keys;
use bulkhead_domain::ApiKeyId;

use super::ApiKeyResponse;
use crate::http::{
    error::ApiError,
    extract::{PageQuery, PageResponse, Query, TenantCaller},
    state::AppState,
};

/// List API keys
///
/// In the order in which their rows were begun, revoked ones too.
#[utoipa::path(
    get, path = "/v1/api-keys", tag = "api-keys", params(PageQuery),
    responses((status = 200, description = "A page of API keys.", body = PageResponse<ApiKeyResponse>)),
)]
pub(crate) async fn list_api_keys(
    state: Data<AppState>,
    caller: TenantCaller,
    Query(query): Query<PageQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let page = query.request(ApiKeyId::uuid)?;
    let rows = state.db.read(caller.tenant, async |tx| api_keys::list(tx, page).await).await?;
    Ok(PageResponse::respond(&request, rows, |row| row.id, ApiKeyResponse::from))
}
