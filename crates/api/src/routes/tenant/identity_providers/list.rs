//! List identity providers.

use bulkhead_db::gate::identity_providers;
use bulkhead_domain::IdentityProviderId;

use crate::{
    http::{
        answer::Answer,
        call::TenantCall,
        error::ApiError,
        extract::{PageQuery, PageResponse, Query},
    },
    routes::identity_providers::ProviderResponse,
};

/// List identity providers
///
/// The tenant's own, in the order in which they were added.
#[utoipa::path(
    get, path = "/v1/identity-providers", tag = "identity providers", params(PageQuery),
    responses((status = 200, description = "A page of providers.", body = PageResponse<ProviderResponse>)),
)]
pub(crate) async fn list_identity_providers(
    call: TenantCall,
    Query(query): Query<PageQuery>,
) -> Result<Answer, ApiError> {
    let page = query.request(IdentityProviderId::uuid)?;
    let rows = call.read(async |tx| identity_providers::list(tx, page).await).await?;
    call.page(rows, |row| row.id, ProviderResponse::from)
}
