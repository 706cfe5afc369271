//! End a session of a person, for an administrator.

use bulkhead_auth::SessionTx as _;
use bulkhead_domain::UserId;
use serde_json::json;

use super::update::within_reach;
use crate::http::{
    answer::Answer,
    call::{TenantCall, Written},
    error::ApiError,
    extract::{Id, SessionInPath},
};

/// End a user's session
///
/// Its tokens stop working within seconds, on every node. You end those of people alone whose role you may take away.
#[utoipa::path(
    delete, path = "/v1/users/{id}/sessions/{session}", tag = "users",
    params(
        ("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c"),
        ("session" = String, Path, description = "The session's id.", example = "ses_01jd3e2x6m7k9v4q8t5b2n0c1c"),
    ),
    responses((status = 204, description = "Ended.")),
)]
pub(crate) async fn end_user_session(
    call: TenantCall,
    Id(id): Id<UserId>,
    SessionInPath(session): SessionInPath,
) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        within_reach(tx, &call, id).await?;
        if !tx.is_living(id, session).await? || !tx.end(session).await? {
            return Err(ApiError::NotFound);
        }
        Ok(Written::changed(session, json!({ "user": id }), Answer::no_content()))
    })
    .await
}
