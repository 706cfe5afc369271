//! Do not take the word of one of the platform's identity providers any more.

use bulkhead_auth::grants::Hold;
use bulkhead_db::{
    TenantTx,
    gate::{
        identity_providers,
        revocations::{Revoked, revoke},
    },
};
use bulkhead_domain::{IdentityProviderId, SessionId, permission::WRITE_IDENTITY_PROVIDERS};
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

/// Do not take a platform's provider's word
///
/// What was accepted from it in this tenant is refused within seconds. Its people stay, and are linked as before when its word
/// is taken again.
#[utoipa::path(
    delete, path = "/v1/platform-identity-providers/{id}", tag = "identity providers",
    params(("id" = String, Path, description = "The provider's id.", example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 204, description = "Its word is not taken.")),
)]
pub(crate) async fn leave_identity_provider(
    call: TenantCall,
    Id(id): Id<IdentityProviderId>,
) -> Result<Answer, ApiError> {
    call.write(async |tx: &mut TenantTx| {
        let before = identity_providers::find_shared(tx, id).await?.ok_or(ApiError::NotFound)?;
        let (_, most, _) = before.joined.ok_or(ApiError::NotFound)?;
        let own = lock_caller(tx, &call).await?;
        let grants = grants(tx, &call, own, WRITE_IDENTITY_PROVIDERS, &[most], Hold::Give).await?;
        grants.may_take(most).map_err(refused)?;
        if !identity_providers::leave(tx, id).await? {
            return Err(ApiError::NotFound);
        }
        revoke(tx, Revoked::Session(SessionId::from_uuid(id.uuid()))).await?;
        Ok(Written::changed(id, json!({ "max_role": most }), Answer::no_content()))
    })
    .await
}
