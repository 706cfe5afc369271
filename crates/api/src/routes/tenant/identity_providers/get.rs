//! Read an identity provider.

use bulkhead_db::gate::identity_providers;
use bulkhead_domain::IdentityProviderId;

use super::shown;
use crate::{
    http::{answer::Answer, call::TenantCall, error::ApiError, extract::Id},
    routes::identity_providers::ProviderResponse,
};

/// Read an identity provider
#[utoipa::path(
    get, path = "/v1/identity-providers/{id}", tag = "identity providers",
    params(("id" = String, Path, description = "The provider's id.", example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 200, description = "The provider.", body = ProviderResponse)),
)]
pub(crate) async fn get_identity_provider(
    call: TenantCall,
    Id(id): Id<IdentityProviderId>,
) -> Result<Answer, ApiError> {
    let found = call.read(async |tx| identity_providers::find(tx, id).await).await?;
    shown(found.ok_or(ApiError::NotFound)?)
}
