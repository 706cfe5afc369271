//! List one's own sessions.

use bulkhead_auth::SessionTx as _;
use bulkhead_domain::SessionId;

use super::SessionResponse;
use crate::{
    http::{
        answer::Answer,
        call::AnyCall,
        error::ApiError,
        extract::{PageQuery, PageResponse, Query},
    },
    routes::session::person::Person as _,
};

/// List your sessions
///
/// Where you are logged in, in the order of the log-ins: yours alone, and those alone that go on.
#[utoipa::path(
    get, path = "/v1/auth/sessions", tag = "auth", params(PageQuery),
    responses((status = 200, description = "A page of sessions.", body = PageResponse<SessionResponse>)),
)]
pub(crate) async fn list_sessions(call: AnyCall, Query(query): Query<PageQuery>) -> Result<Answer, ApiError> {
    let page = query.request(SessionId::uuid)?;
    match call {
        AnyCall::Tenant(call) => {
            let (person, current) = call.person()?;
            let rows = call.look(async |tx| Ok(tx.sessions(person, page).await?)).await?;
            call.page(rows, |row| row.id, |row| SessionResponse::of(row, Some(current)))
        }
        AnyCall::Operator(call) => {
            let (person, current) = call.person()?;
            let rows = call.look(async |tx| Ok(tx.sessions(person, page).await?)).await?;
            call.page(rows, |row| row.id, |row| SessionResponse::of(row, Some(current)))
        }
    }
}
