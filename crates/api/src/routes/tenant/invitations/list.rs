//! List invitations.

use bulkhead_db::tenant::invitations;
use bulkhead_domain::OneTimeTokenId;

use super::InvitationResponse;
use crate::http::{
    answer::Answer,
    call::TenantCall,
    error::ApiError,
    extract::{PageQuery, PageResponse, Query},
};

/// List invitations
///
/// Those that can be accepted, in the order in which they were made.
#[utoipa::path(
    get, path = "/v1/invitations", tag = "invitations", params(PageQuery),
    responses((status = 200, description = "A page of invitations.", body = PageResponse<InvitationResponse>)),
)]
pub(crate) async fn list_invitations(
    call: TenantCall,
    Query(query): Query<PageQuery>,
) -> Result<Answer, ApiError> {
    let page = query.request(OneTimeTokenId::uuid)?;
    let rows = call.read(async |tx| invitations::list(tx, page).await).await?;
    call.page(rows, |row| row.id, InvitationResponse::from)
}
