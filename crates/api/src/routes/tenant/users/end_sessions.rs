//! End all sessions of a person, for an administrator.

use bulkhead_auth::SessionTx as _;
use bulkhead_domain::UserId;
use serde_json::json;

use super::update::within_reach;
use crate::http::{
    answer::Answer,
    call::{TenantCall, Written},
    error::ApiError,
    extract::Id,
};

/// End a user's sessions
///
/// Logs them out everywhere. Tokens of the ended sessions stop working within seconds, on every node; their password and role stay.
/// You do so with people alone whose role you may take away.
#[utoipa::path(
    delete, path = "/v1/users/{id}/sessions", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 204, description = "Ended, if there were any.")),
)]
pub(crate) async fn end_user_sessions(call: TenantCall, Id(id): Id<UserId>) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        within_reach(tx, &call, id).await?;
        let ended = tx.end_others(id, None).await?;
        if ended == 0 {
            return Ok(Written::unchanged(Answer::no_content()));
        }
        Ok(Written::changed(id, json!({ "sessions": ended }), Answer::no_content()))
    })
    .await
}
