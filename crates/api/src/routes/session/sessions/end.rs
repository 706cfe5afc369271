//! End one of one's own sessions.

use bulkhead_auth::SessionTx as _;
use bulkhead_domain::SessionId;
use serde_json::json;

use crate::{
    http::{
        answer::Answer,
        call::{AnyCall, Written},
        error::ApiError,
        extract::Id,
    },
    routes::session::person::Person,
};

/// End a session
///
/// Its tokens stop working within seconds, on every node; your present session may be ended, too.
#[utoipa::path(
    delete, path = "/v1/auth/sessions/{id}", tag = "auth",
    params(("id" = String, Path, description = "The session's id.", example = "ses_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 204, description = "Ended.")),
)]
pub(crate) async fn end_session(call: AnyCall, Id(id): Id<SessionId>) -> Result<Answer, ApiError> {
    match call {
        AnyCall::Tenant(call) => end(call, id).await,
        AnyCall::Operator(call) => end(call, id).await,
    }
}

async fn end<Caller: Person>(call: Caller, id: SessionId) -> Result<Answer, ApiError> {
    let (person, _) = call.login()?;
    call.change(async |tx| {
        tx.lock_person(person).await?.ok_or(ApiError::NotFound)?;
        if !tx.is_living(person, id).await? || !tx.end(id).await? {
            return Err(ApiError::NotFound);
        }
        Ok(Written::changed(id, json!({}), Answer::no_content()))
    })
    .await
}
