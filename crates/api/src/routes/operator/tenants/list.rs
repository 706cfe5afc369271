//! List tenants.

use bulkhead_db::platform::tenants::{self, Purge, Tenant, TenantFilter};
use bulkhead_domain::{Slug, TenantId, TenantStatus};
use serde::Deserialize;
use utoipa::IntoParams;

use super::TenantResponse;
use crate::http::{
    answer::Answer,
    call::OperatorCall,
    error::ApiError,
    extract::{PageResponse, Query, page_limit, page_request},
};

/// Which tenants to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListTenantsQuery {
    /// Only tenants in this state.
    #[param(value_type = Option<String>, example = "active")]
    status: Option<TenantStatus>,
    /// Only the tenant with this slug.
    #[param(example = "acme")]
    slug: Option<String>,
    /// How many rows to return, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[serde(default, deserialize_with = "page_limit")]
    limit: Option<u16>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List tenants
///
/// In the order of their ids, which is nearly the order in which they signed up: a tenant may be given an id that was made
/// ahead of it, so a new one may appear anywhere in the list. One is found by its `slug`. Deleted ones are among them:
/// `deleted_at`, `purge_after` and `purged_at` say how far they are. A purged tenant stays in the list, as its usage stays in the
/// reports.
#[utoipa::path(
    get, path = "/v1/admin/tenants", tag = "operators: tenants", params(ListTenantsQuery),
    responses((status = 200, description = "A page of tenants.", body = PageResponse<TenantResponse>)),
)]
pub(crate) async fn list_tenants(
    call: OperatorCall,
    Query(query): Query<ListTenantsQuery>,
) -> Result<Answer, ApiError> {
    let page = page_request(query.limit, query.cursor.as_deref(), TenantId::uuid)?;
    let slug = query.slug.as_deref().map(str::parse::<Slug>).transpose();
    let slug =
        slug.map_err(|error| ApiError::InvalidParameter { name: "slug", detail: error.to_string() })?;
    let filter = TenantFilter { status: query.status, slug: slug.as_ref() };
    let read = async |tx: &mut _| tenants::list(tx, filter, page).await;
    let rows = call.read(read).await?;
    let view = |(tenant, purge): (Tenant, Option<Purge>)| TenantResponse::with_purge(tenant, purge.as_ref());
    call.page(rows, |(tenant, _)| tenant.id, view)
}
