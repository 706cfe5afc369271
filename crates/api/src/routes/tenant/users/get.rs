//! Read one person.

use bulkhead_db::tenant::provider_accounts;
use bulkhead_domain::UserId;

use super::UserWithAccountResponse;
use crate::http::{answer::Answer, call::TenantCall, error::ApiError, extract::Id};

/// Read a user
#[utoipa::path(
    get, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 200, description = "The user.", body = UserWithAccountResponse)),
)]
pub(crate) async fn get_user(call: TenantCall, Id(id): Id<UserId>) -> Result<Answer, ApiError> {
    let found = call.read(async |tx| provider_accounts::with_user(tx, id).await).await?;
    let (user, account) = found.ok_or(ApiError::NotFound)?;
    let version = user.version;
    Ok(Answer::ok(&UserWithAccountResponse::of(user, account))?.version(version))
}
