//! List resources.

use bulkhead_db::tenant::resources;
use bulkhead_domain::{ResourceId, Text};
use serde::Deserialize;
use utoipa::IntoParams;

use super::ResourceResponse;
use crate::http::{
    answer::Answer,
    call::TenantCall,
    error::ApiError,
    extract::{PageResponse, Query, page_limit, page_request},
};

/// Which resources to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListResourcesQuery {
    /// Only resources of this kind.
    #[param(example = "document")]
    kind: Option<String>,
    /// How many rows to return, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[serde(default, deserialize_with = "page_limit")]
    limit: Option<u16>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List resources
///
/// In the order in which their rows were begun.
#[utoipa::path(
    get, path = "/v1/resources", tag = "resources", params(ListResourcesQuery),
    responses((status = 200, description = "A page of resources.", body = PageResponse<ResourceResponse>)),
)]
pub(crate) async fn list_resources(
    call: TenantCall,
    Query(query): Query<ListResourcesQuery>,
) -> Result<Answer, ApiError> {
    let page = page_request(query.limit, query.cursor.as_deref(), ResourceId::uuid)?;
    let kind = query.kind.as_deref();
    if let Some(Err(error)) = kind.map(str::parse::<Text<64>>) {
        return Err(ApiError::InvalidParameter { name: "kind", detail: error.to_string() });
    }
    let rows = call.read(async |tx| resources::list(tx, kind, page).await).await?;
    call.page(rows, |row| row.id, ResourceResponse::from)
}
