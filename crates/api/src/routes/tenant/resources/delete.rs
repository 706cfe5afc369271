//! Remove a resource.

use bulkhead_db::tenant::resources;
use bulkhead_domain::ResourceId;
use serde_json::json;

use crate::http::{
    answer::Answer,
    call::{TenantCall, Written},
    error::ApiError,
    extract::{Id, IfMatch, IfMatchHeader},
};

/// Remove a resource
#[utoipa::path(
    delete, path = "/v1/resources/{id}", tag = "resources",
    params(("id" = String, Path, description = "The resource's id.", example = "res_01jd3e2x6m7k9v4q8t5b2n0c1d"), IfMatchHeader),
    responses((status = 204, description = "Removed.")),
)]
pub(crate) async fn delete_resource(
    call: TenantCall,
    Id(id): Id<ResourceId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        let current = resources::lock(tx, id).await?.ok_or(ApiError::NotFound)?;
        if_match.check(current.version)?;
        resources::delete(tx, id).await?;
        let changes = json!({ "name": current.name, "version": current.version });
        Ok(Written::changed(id, changes, Answer::no_content()))
    })
    .await
}
