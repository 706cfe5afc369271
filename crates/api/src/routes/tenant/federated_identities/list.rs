//! List who is linked.

use bulkhead_db::tenant::federated_identities;
use bulkhead_domain::{FederatedIdentityId, IdentityProviderId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::FederatedIdentityResponse;
use crate::http::{
    answer::Answer,
    call::TenantCall,
    error::ApiError,
    extract::{PageResponse, Query, page_limit, page_request},
};

/// Whose identities to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListIdentitiesQuery {
    /// Only those of this provider.
    #[param(example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    identity_provider_id: Option<String>,
    /// How many rows to return, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[serde(default, deserialize_with = "page_limit")]
    limit: Option<u16>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List federated identities
///
/// In the order in which they were linked.
#[utoipa::path(
    get, path = "/v1/federated-identities", tag = "identity providers", params(ListIdentitiesQuery),
    responses((status = 200, description = "A page of identities.", body = PageResponse<FederatedIdentityResponse>)),
)]
pub(crate) async fn list_federated_identities(
    call: TenantCall,
    Query(query): Query<ListIdentitiesQuery>,
) -> Result<Answer, ApiError> {
    let page = page_request(query.limit, query.cursor.as_deref(), FederatedIdentityId::uuid)?;
    let provider = query.identity_provider_id.as_deref().map(str::parse::<IdentityProviderId>).transpose();
    let provider = provider.map_err(|_not_one| ApiError::InvalidParameter {
        name: "identity_provider_id",
        detail: "must be an identity provider's id".to_owned(),
    })?;
    let rows = call.read(async |tx| federated_identities::list(tx, provider, page).await).await?;
    call.page(rows, |row| row.id, FederatedIdentityResponse::from)
}
