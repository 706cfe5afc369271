//! List a person's sessions, for an administrator.

use bulkhead_auth::{SessionTx as _, grants::Hold};
use bulkhead_db::{TenantTx, tenant::users};
use bulkhead_domain::{SessionId, UserId, permission::WRITE_USERS};

use crate::{
    http::{
        answer::Answer,
        call::TenantCall,
        error::ApiError,
        extract::{Id, PageQuery, PageResponse, Query},
    },
    routes::{
        session::sessions::SessionResponse,
        tenant::{grants, refused},
    },
};

/// List a user's sessions
///
/// Where they are logged in, in the order of the log-ins: those alone that go on. You see those of people alone whose role you
/// may take away.
#[utoipa::path(
    get, path = "/v1/users/{id}/sessions", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c"), PageQuery),
    responses((status = 200, description = "A page of sessions.", body = PageResponse<SessionResponse>)),
)]
pub(crate) async fn list_user_sessions(
    call: TenantCall,
    Id(id): Id<UserId>,
    Query(query): Query<PageQuery>,
) -> Result<Answer, ApiError> {
    let page = query.request(SessionId::uuid)?;
    let look = async |tx: &mut TenantTx| {
        let user = users::find(tx, id).await?.ok_or(ApiError::NotFound)?;
        let own = Some(call.role().name());
        let grants = grants(tx, &call, own, WRITE_USERS, &[user.role], Hold::Look).await?;
        grants.may_take(user.role).map_err(refused)?;
        Ok(tx.sessions(id, page).await?)
    };
    let rows = call.snapshot(look).await?;
    let current = call.principal().session();
    call.page(rows, |row| row.id, |row| SessionResponse::of(row, current))
}
