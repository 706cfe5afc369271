//! List operators.

use bulkhead_db::platform::operators;
use bulkhead_domain::OperatorId;

use super::OperatorResponse;
use crate::http::{
    answer::Answer,
    call::OperatorCall,
    error::ApiError,
    extract::{PageQuery, PageResponse, Query},
};

/// List operators
#[utoipa::path(
    get, path = "/v1/admin/operators", tag = "operators: operators", params(PageQuery),
    responses((status = 200, description = "A page of operators.", body = PageResponse<OperatorResponse>)),
)]
pub(crate) async fn list_operators(
    call: OperatorCall,
    Query(query): Query<PageQuery>,
) -> Result<Answer, ApiError> {
    let page = query.request(OperatorId::uuid)?;
    let rows = call.read(async |tx| operators::list(tx, page).await).await?;
    call.page(rows, |row| row.id, OperatorResponse::from)
}
