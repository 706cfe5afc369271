//! Read one resource.

use bulkhead_db::tenant::resources;
use bulkhead_domain::ResourceId;

use super::{ResourceResponse, shown};
use crate::http::{answer::Answer, call::TenantCall, error::ApiError, extract::Id};

/// Read a resource
#[utoipa::path(
    get, path = "/v1/resources/{id}", tag = "resources",
    params(("id" = String, Path, description = "The resource's id.", example = "res_01jd3e2x6m7k9v4q8t5b2n0c1d")),
    responses((status = 200, description = "The resource.", body = ResourceResponse)),
)]
pub(crate) async fn get_resource(call: TenantCall, Id(id): Id<ResourceId>) -> Result<Answer, ApiError> {
    let found = call.read(async |tx| resources::find(tx, id).await).await?;
    shown(found.ok_or(ApiError::NotFound)?)
}
