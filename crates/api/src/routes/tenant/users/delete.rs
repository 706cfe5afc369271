//! Remove a person.

use actix_web::web::Data;
use bulkhead_db::{
    gate::revocations::{Revoked, revoke},
    tenant::users,
};
use bulkhead_domain::UserId;
use serde_json::json;

use super::update::changeable;
use crate::http::{
    answer::Answer,
    error::ApiError,
    extract::{Id, IfMatch, IfMatchHeader, TenantCaller},
    state::AppState,
};

/// Remove a user
///
/// Their sessions end, and their tokens stop working within seconds.
#[utoipa::path(
    delete, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1d"), IfMatchHeader),
    responses((status = 204, description = "Removed.")),
)]
pub(crate) async fn delete_user(
    state: Data<AppState>,
    caller: TenantCaller,
    Id(id): Id<UserId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    let at = state.clock.now();
    state
        .db
        .write(caller.tenant, async |tx| {
            let current = changeable(tx, &caller, id, false).await?;
            if_match.check(current.version)?;
            users::delete(tx, id).await?;
            revoke(tx, Revoked::User(id)).await?;
            caller.audit(tx, at, &id, json!({ "email": current.email, "role": current.role })).await?;
            Ok(Answer::no_content())
        })
        .await
}
