//! List a person's sessions, for an administrator.

use bulkhead_auth::{SessionTx as _, grants::Hold};
use bulkhead_db::{PageRequest, TenantTx, tenant::users};
use bulkhead_domain::{UserId, permission::WRITE_USERS};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{answer::Answer, call::TenantCall, error::ApiError, extract::Id},
    routes::{
        session::sessions::SessionResponse,
        tenant::{grants, refused},
    },
};

/// How many a person has at most.
const MOST: u16 = 100;

/// A person's sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserSessionsResponse {
    /// Those that go on, in the order of the log-ins.
    data: Vec<SessionResponse>,
}

/// List a user's sessions
///
/// Where they are logged in, in the order of the log-ins: all that go on, of which a person has at most 100. You see those of people alone whose role you
/// may take away.
#[utoipa::path(
    get, path = "/v1/users/{id}/sessions", tag = "users",
    params(("id" = String, Path, description = "The user's id.", example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 200, description = "The sessions.", body = UserSessionsResponse)),
)]
pub(crate) async fn list_user_sessions(call: TenantCall, Id(id): Id<UserId>) -> Result<Answer, ApiError> {
    let page = PageRequest { after: None, limit: MOST };
    let look = async |tx: &mut TenantTx| {
        let user = users::find(tx, id).await?.ok_or(ApiError::NotFound)?;
        let own = Some(call.role().name().into());
        let grants = grants(tx, &call, own, WRITE_USERS, &[user.role], Hold::Look).await?;
        grants.may_take(user.role).map_err(refused)?;
        Ok(tx.sessions(id, page).await?)
    };
    let rows = call.snapshot(look).await?.rows;
    let current = call.principal().session();
    let data = rows.into_iter().map(|row| SessionResponse::of(row, current)).collect();
    Answer::ok(&UserSessionsResponse { data })
}
