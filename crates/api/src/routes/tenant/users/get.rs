//! Read one person.

use bulkhead_db::tenant::users;
use bulkhead_domain::UserId;

use super::UserResponse;
use crate::http::{answer::Answer, call::TenantCall, error::ApiError, extract::Id};

/// Read a user
#[utoipa::path(
    get, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 200, description = "The user.", body = UserResponse)),
)]
pub(crate) async fn get_user(call: TenantCall, Id(id): Id<UserId>) -> Result<Answer, ApiError> {
    let found = call.read(async |tx| users::find(tx, id).await).await?;
    let user = found.ok_or(ApiError::NotFound)?;
    let version = user.version;
    Ok(Answer::ok(&UserResponse::from(user))?.version(version))
}
