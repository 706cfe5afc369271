//! End one's own sessions.

use bulkhead_auth::SessionTx as _;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use crate::{
    http::{
        answer::Answer,
        call::{AnyCall, Written},
        error::ApiError,
        extract::Query,
    },
    routes::session::person::Person,
};

/// Which sessions to end.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EndSessionsQuery {
    /// Whether to end the session of this request, too.
    #[param(default = false, example = false)]
    #[serde(default)]
    all: bool,
}

/// End your other sessions
///
/// Logs you out everywhere but here, and with `all=true` here, too. Tokens of the ended sessions stop working within seconds, on
/// every node.
#[utoipa::path(
    delete, path = "/v1/auth/sessions", tag = "auth", params(EndSessionsQuery),
    responses((status = 204, description = "Ended, if there were any.")),
)]
pub(crate) async fn end_sessions(
    call: AnyCall,
    Query(query): Query<EndSessionsQuery>,
) -> Result<Answer, ApiError> {
    match call {
        AnyCall::Tenant(call) => end(call, query.all).await,
        AnyCall::Operator(call) => end(call, query.all).await,
    }
}

async fn end<Caller: Person>(call: Caller, all: bool) -> Result<Answer, ApiError> {
    let (person, current) = call.login()?;
    call.change(async |tx| {
        // A log-in or refresh beside this comes before, and is ended, or after.
        tx.lock_person(person).await?.ok_or(ApiError::NotFound)?;
        let ended = tx.end_others(person, (!all).then_some(current)).await?;
        if ended == 0 {
            return Ok(Written::unchanged(Answer::no_content()));
        }
        Ok(Written::changed(call.subject(), json!({ "sessions": ended }), Answer::no_content()))
    })
    .await
}
