//! List people.

use bulkhead_db::tenant::users;
use bulkhead_domain::UserId;

use super::UserResponse;
use crate::http::{
    answer::Answer,
    call::TenantCall,
    error::ApiError,
    extract::{PageQuery, PageResponse, Query},
};

/// List users
///
/// In the order in which their rows were begun.
#[utoipa::path(
    get, path = "/v1/users", tag = "users", params(PageQuery),
    responses((status = 200, description = "A page of users.", body = PageResponse<UserResponse>)),
)]
pub(crate) async fn list_users(call: TenantCall, Query(query): Query<PageQuery>) -> Result<Answer, ApiError> {
    let page = query.request(UserId::uuid)?;
    let rows = call.read(async |tx| users::list(tx, page).await).await?;
    call.page(rows, |row| row.id, UserResponse::from)
}
