//! List identity providers of the platform and of tenants.

use bulkhead_db::platform::identity_providers;
use bulkhead_domain::IdentityProviderId;

use crate::{
    http::{
        answer::Answer,
        call::OperatorCall,
        error::ApiError,
        extract::{PageQuery, PageResponse, Query},
    },
    routes::identity_providers::ProviderResponse,
};

/// List all identity providers
///
/// The platform's and those of tenants, in the order in which they were added.
#[utoipa::path(
    get, path = "/v1/admin/identity-providers", tag = "operators: identity providers", params(PageQuery),
    responses((status = 200, description = "A page of providers.", body = PageResponse<ProviderResponse>)),
)]
pub(crate) async fn list_all_identity_providers(
    call: OperatorCall,
    Query(query): Query<PageQuery>,
) -> Result<Answer, ApiError> {
    let page = query.request(IdentityProviderId::uuid)?;
    let rows = call.read(async |tx: &mut _| identity_providers::list(tx, page).await).await?;
    call.page(rows, |row| row.id, ProviderResponse::from)
}
