//! Remove an identity provider.

use bulkhead_db::platform::identity_providers;
use bulkhead_domain::IdentityProviderId;

use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader},
    },
    routes::identity_providers::described,
};

/// Remove an identity provider
///
/// One of the platform, or a tenant's that should not be there: what was accepted from it is refused within seconds.
#[utoipa::path(
    delete, path = "/v1/admin/identity-providers/{id}", tag = "operators: identity providers",
    params(("id" = String, Path, description = "The provider's id.", example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader),
    responses((status = 204, description = "Removed.")),
)]
pub(crate) async fn delete_any_identity_provider(
    call: OperatorCall,
    Id(id): Id<IdentityProviderId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        let current = identity_providers::find(tx, id).await?.ok_or(ApiError::NotFound)?;
        if_match.check(current.version)?;
        // Ahead of the removal, which takes along the list of tenants that have to be told.
        identity_providers::revoke(tx, &current).await?;
        identity_providers::delete(tx, id).await?;
        Ok(Written::changed(id, described(&current), Answer::no_content()))
    })
    .await
}
