//! List people.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use bulkhead_db::tenant::users;
use bulkhead_domain::UserId;

use super::UserResponse;
use crate::http::{
    error::ApiError,
    extract::{PageQuery, PageResponse, Query, TenantCaller},
    state::AppState,
};

/// List users
///
/// In the order in which their rows were begun.
#[utoipa::path(
    get, path = "/v1/users", tag = "users", params(PageQuery),
    responses((status = 200, description = "A page of users.", body = PageResponse<UserResponse>)),
)]
pub(crate) async fn list_users(
    state: Data<AppState>,
    caller: TenantCaller,
    Query(query): Query<PageQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let page = query.request(UserId::uuid)?;
    let rows = state.db.read(caller.tenant, async |tx| users::list(tx, page).await).await?;
    Ok(PageResponse::respond(&request, rows, |row| row.id, UserResponse::from))
}
