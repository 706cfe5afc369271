//! Change a resource.

use bulkhead_db::tenant::resources::{self, ResourceChange};
use bulkhead_domain::{JsonContent, ResourceId};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{ResourceResponse, check, content, shown};
use crate::http::{
    answer::Answer,
    call::{TenantCall, Written},
    error::ApiError,
    extract::{Id, IfMatch, IfMatchHeader, Json, RequestBody, present},
};

/// The fields to change; those left out stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateResourceRequest {
    /// The new name.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 200, example = "Quarterly report, final")]
    name: Option<String>,
    /// The new kind.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 64, example = "document")]
    kind: Option<String>,
    /// The new content, whole.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, value_type = Option<Object>, example = json!({"pages": 14}))]
    data: Option<JsonContent>,
}

impl RequestBody for UpdateResourceRequest {
    fn content(&mut self) -> Option<&mut JsonContent> {
        self.data.as_mut()
    }
}

/// Change a resource
///
/// Send the ETag you were given in `If-Match`, and nobody else's change is overwritten unseen. Without it the last change
/// wins. A change that leaves everything as it is leaves the version, too.
#[utoipa::path(
    patch, path = "/v1/resources/{id}", tag = "resources", request_body = UpdateResourceRequest,
    params(("id" = String, Path, description = "The resource's id.", example = "res_01jd3e2x6m7k9v4q8t5b2n0c1d"), IfMatchHeader),
    responses((status = 200, description = "The resource as it is now.", body = ResourceResponse)),
)]
pub(crate) async fn update_resource(
    call: TenantCall,
    Id(id): Id<ResourceId>,
    if_match: IfMatch,
    Json(body): Json<UpdateResourceRequest>,
) -> Result<Answer, ApiError> {
    let UpdateResourceRequest { name, kind, data } = body;
    let mut errors = check(name.as_deref(), kind.as_deref());
    let data = data.and_then(|data| content(data, call.data_limit(), &mut errors));
    if !errors.is_empty() {
        return Err(ApiError::Validation(errors));
    }
    let change = ResourceChange { name: name.as_deref(), kind: kind.as_deref(), data: data.as_ref() };
    call.write(async |tx| {
        let current = resources::lock(tx, id).await?.ok_or(ApiError::NotFound)?;
        if_match.check(current.version)?;
        if current.is_kept_by(&change) {
            let resource = resources::find(tx, id).await?.ok_or(ApiError::NotFound)?;
            return Ok(Written::unchanged(shown(resource)?));
        }
        let resource = resources::update(tx, id, &change, call.at()).await?.ok_or(ApiError::NotFound)?;
        let changes = json!({ "version": resource.version, "name": name, "kind": kind });
        Ok(Written::changed(id, changes, shown(resource)?))
    })
    .await
}
