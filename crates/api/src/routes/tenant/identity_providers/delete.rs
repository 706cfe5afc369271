//! Remove an identity provider.

use bulkhead_db::{
    TenantTx,
    gate::{
        identity_providers,
        revocations::{Revoked, revoke},
    },
    tenant::federated_identities,
};
use bulkhead_domain::{IdentityProviderId, SessionId};

use super::check_roles;
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader},
    },
    routes::identity_providers::described,
};

/// Remove an identity provider
///
/// What was accepted from it is refused within seconds. Its people stay, and are linked to nothing there any more: those who have
/// no password are handed one (`POST /v1/users/{id}/password-reset`).
#[utoipa::path(
    delete, path = "/v1/identity-providers/{id}", tag = "identity providers",
    params(("id" = String, Path, description = "The provider's id.", example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader),
    responses((status = 204, description = "Removed.")),
)]
pub(crate) async fn delete_identity_provider(
    call: TenantCall,
    Id(id): Id<IdentityProviderId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    call.write(async |tx: &mut TenantTx| {
        let current = identity_providers::find(tx, id).await?.ok_or(ApiError::NotFound)?;
        if_match.check(current.version)?;
        check_roles(tx, &call, Some(&current), None).await?;
        federated_identities::delete_all(tx, id).await?;
        identity_providers::delete(tx, id).await?;
        revoke(tx, Revoked::Session(SessionId::from_uuid(id.uuid()))).await?;
        Ok(Written::changed(id, described(&current), Answer::no_content()))
    })
    .await
}
