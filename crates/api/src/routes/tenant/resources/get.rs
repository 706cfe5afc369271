//! Read one resource.

use actix_web::web::Data;
use bulkhead_db::tenant::resources;
use bulkhead_domain::ResourceId;

use super::ResourceResponse;
use crate::http::{
    answer::Answer,
    error::ApiError,
    extract::{Id, TenantCaller},
    state::AppState,
};

/// Read a resource
#[utoipa::path(
    get, path = "/v1/resources/{id}", tag = "resources",
    params(("id" = String, Path, description = "The resource's id.", example = "res_01jd3e2x6m7k9v4q8t5b2n0c1d")),
    responses((status = 200, description = "The resource.", body = ResourceResponse)),
)]
pub(crate) async fn get_resource(
    state: Data<AppState>,
    caller: TenantCaller,
    Id(id): Id<ResourceId>,
) -> Result<Answer, ApiError> {
    let found = state.db.read(caller.tenant, async |tx| resources::find(tx, id).await).await?;
    let resource = found.ok_or(ApiError::NotFound)?;
    let version = resource.version;
    Ok(Answer::ok(&ResourceResponse::from(resource))?.version(version))
}
