//! Remove a resource.

use actix_web::web::Data;
use bulkhead_db::tenant::resources;
use bulkhead_domain::ResourceId;
use serde_json::json;

use crate::http::{
    answer::Answer,
    error::ApiError,
    extract::{Id, IfMatch, IfMatchHeader, TenantCaller},
    state::AppState,
};

/// Remove a resource
#[utoipa::path(
    delete, path = "/v1/resources/{id}", tag = "resources",
    params(("id" = String, Path, description = "The resource's id.", example = "res_01jd3e2x6m7k9v4q8t5b2n0c1d"), IfMatchHeader),
    responses((status = 204, description = "Removed.")),
)]
pub(crate) async fn delete_resource(
    state: Data<AppState>,
    caller: TenantCaller,
    Id(id): Id<ResourceId>,
    if_match: IfMatch,
) -> Result<Answer, ApiError> {
    let at = state.clock.now();
    state
        .db
        .write(caller.tenant, async |tx| {
            let current = resources::lock(tx, id).await?.ok_or(ApiError::NotFound)?;
            if_match.check(current.version)?;
            resources::delete(tx, id).await?;
            caller.audit(tx, at, &id, json!({ "name": current.name, "version": current.version })).await?;
            Ok(Answer::no_content())
        })
        .await
}
