//! Create a resource in the caller's tenant.

use bulkhead_db::tenant::resources::{self, NewResource};
use bulkhead_domain::{JsonContent, ResourceId};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{ResourceResponse, check, content};
use crate::http::{
    answer::Answer,
    call::{TenantCall, Written},
    error::ApiError,
    extract::{IdempotencyKeyHeader, Json, RequestBody},
};

/// A resource to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateResourceRequest {
    /// What people call it.
    #[schema(min_length = 1, max_length = 200, example = "Quarterly report")]
    name: String,
    /// What it is, in your own terms.
    #[schema(min_length = 1, max_length = 64, example = "document")]
    kind: String,
    /// Its content: any JSON object of at most 256 KiB, unless configured otherwise. It is kept to the letter. Refused are a
    /// member that appears twice in its object, half of a surrogate pair, U+0000, and a number of more than 1,000 digits when
    /// written out.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"pages": 12}))]
    data: JsonContent,
}

impl RequestBody for CreateResourceRequest {
    fn content(&mut self) -> Option<&mut JsonContent> {
        Some(&mut self.data)
    }
}

/// Create a resource
///
/// The resource belongs to your tenant, and you are its owner.
#[utoipa::path(
    post, path = "/v1/resources", tag = "resources", params(IdempotencyKeyHeader), request_body = CreateResourceRequest,
    responses((status = 201, description = "Created.", body = ResourceResponse)),
)]
pub(crate) async fn create_resource(
    call: TenantCall,
    Json(body): Json<CreateResourceRequest>,
) -> Result<Answer, ApiError> {
    let CreateResourceRequest { name, kind, data } = body;
    let mut errors = check(Some(&name), Some(&kind));
    let data = content(data, call.data_limit(), &mut errors);
    let (Some(data), true) = (data, errors.is_empty()) else { return Err(ApiError::Validation(errors)) };
    let at = call.at();
    let new = NewResource {
        id: ResourceId::mint(at),
        name: &name,
        kind: &kind,
        data: &data,
        owner: call.subject(),
        at,
    };
    call.write(async |tx| {
        let resource = resources::insert(tx, &new).await?;
        let (id, version) = (resource.id, resource.version);
        let view = ResourceResponse::from(resource);
        let answer = Answer::created(format!("/v1/resources/{id}"), &view)?.version(version);
        Ok(Written::changed(id, json!({ "name": name, "kind": kind }), answer))
    })
    .await
}
