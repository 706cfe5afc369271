//! Read one invitation.

use bulkhead_db::tenant::invitations;
use bulkhead_domain::OneTimeTokenId;

use super::InvitationResponse;
use crate::http::{answer::Answer, call::TenantCall, error::ApiError, extract::Id};

/// Read an invitation
///
/// One that was accepted or revoked, or has expired, is not there any more.
#[utoipa::path(
    get, path = "/v1/invitations/{id}", tag = "invitations",
    params(("id" = String, Path, description = "The invitation's id.", example = "ott_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 200, description = "The invitation.", body = InvitationResponse)),
)]
pub(crate) async fn get_invitation(call: TenantCall, Id(id): Id<OneTimeTokenId>) -> Result<Answer, ApiError> {
    let found = call.read(async |tx| invitations::find(tx, id).await).await?;
    Answer::ok(&InvitationResponse::from(found.ok_or(ApiError::NotFound)?))
}
