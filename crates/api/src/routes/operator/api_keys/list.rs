//! List operators' API keys.

use bulkhead_db::platform::operator_keys;
use bulkhead_domain::OperatorKeyId;

use super::OperatorKeyResponse;
use crate::http::{
    answer::Answer,
    call::OperatorCall,
    error::ApiError,
    extract::{PageQuery, PageResponse, Query},
};

/// List operators' API keys
///
/// Those of all operators. Entries of revoked and expired ones are kept for 30 days.
#[utoipa::path(
    get, path = "/v1/admin/api-keys", tag = "operators: api-keys", params(PageQuery),
    responses((status = 200, description = "A page of keys.", body = PageResponse<OperatorKeyResponse>)),
)]
pub(crate) async fn list_operator_keys(
    call: OperatorCall,
    Query(query): Query<PageQuery>,
) -> Result<Answer, ApiError> {
    let page = query.request(OperatorKeyId::uuid)?;
    let rows = call.read(async |tx| operator_keys::list(tx, page).await).await?;
    call.page(rows, |row| row.id, OperatorKeyResponse::from)
}
