//! Remove a person.

use bulkhead_db::{
    gate::revocations::{Revoked, revoke},
    tenant::users,
};
use bulkhead_domain::UserId;
use serde_json::json;

use super::update::changeable;
use crate::http::{
    answer::Answer,
    call::{TenantCall, Written},
    error::ApiError,
    extract::{Id, IfMatch, IfMatchHeader},
};

/// Remove a user
///
/// Their sessions end, and their tokens stop working within seconds.
#[utoipa::path(
    delete, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader),
    responses((status = 204, description = "Removed.")),
)]
pub(crate) async fn delete_user(
    call: TenantCall,
    Id(id): Id<UserId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        let (current, _) = changeable(tx, &call, id, None).await?;
        if_match.check(current.version)?;
        users::delete(tx, id).await?;
        revoke(tx, Revoked::User(id)).await?;
        let changes = json!({ "email": current.email, "role": current.role });
        Ok(Written::changed(id, changes, Answer::no_content()))
    })
    .await
}
