//! Revoke an invitation.

use bulkhead_auth::grants::Hold;
use bulkhead_db::tenant::{invitations, one_time_tokens};
use bulkhead_domain::{OneTimeTokenId, permission::WRITE_USERS};
use serde_json::json;

use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::Id,
    },
    routes::tenant::{grants, lock_caller, refused},
};

/// Revoke an invitation
///
/// Its token stops working. You may revoke invitations alone whose role you may take away.
#[utoipa::path(
    delete, path = "/v1/invitations/{id}", tag = "invitations",
    params(("id" = String, Path, description = "The invitation's id.", example = "ott_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 204, description = "Revoked.")),
)]
pub(crate) async fn delete_invitation(
    call: TenantCall,
    Id(id): Id<OneTimeTokenId>,
) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        let own = lock_caller(tx, &call).await?;
        let found = invitations::lock(tx, id).await?.ok_or(ApiError::NotFound)?;
        let grants = grants(tx, &call, own, WRITE_USERS, &[found.role], Hold::Give).await?;
        grants.may_take(found.role).map_err(refused)?;
        one_time_tokens::delete(tx, id).await?;
        let changes = json!({ "email": found.email, "role": found.role });
        Ok(Written::changed(id, changes, Answer::no_content()))
    })
    .await
}
