//! Read one person.

use actix_web::web::Data;
use bulkhead_db::tenant::users;
use bulkhead_domain::UserId;

use super::UserResponse;
use crate::http::{
    answer::Answer,
    error::ApiError,
    extract::{Id, TenantCaller},
    state::AppState,
};

/// Read a user
#[utoipa::path(
    get, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1d")),
    responses((status = 200, description = "The user.", body = UserResponse)),
)]
pub(crate) async fn get_user(
    state: Data<AppState>,
    caller: TenantCaller,
    Id(id): Id<UserId>,
) -> Result<Answer, ApiError> {
    let found = state.db.read(caller.tenant, async |tx| users::find(tx, id).await).await?;
    let user = found.ok_or(ApiError::NotFound)?;
    let version = user.version;
    Ok(Answer::ok(&UserResponse::from(user))?.version(version))
}
