//! Create a resource in the caller's tenant.

use actix_web::web::Data;
use bulkhead_db::tenant::resources::{self, NewResource};
use bulkhead_domain::{JsonContent, ResourceId};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{ResourceResponse, check, content};
use crate::http::{
    answer::Answer,
    error::ApiError,
    extract::{IdempotencyKeyHeader, Intent, Json, RequestBody, TenantCaller},
    state::AppState,
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
    state: Data<AppState>,
    caller: TenantCaller,
    intent: Intent,
    body: Json<CreateResourceRequest>,
) -> Result<Answer, ApiError> {
    let Json { value: CreateResourceRequest { name, kind, data }, bytes } = body;
    let mut errors = check(Some(&name), Some(&kind));
    let data = content(data, state.options.data_limit, &mut errors);
    let (Some(data), true) = (data, errors.is_empty()) else { return Err(ApiError::Validation(errors)) };
    let at = state.clock.now();
    let new = NewResource {
        id: ResourceId::mint(at),
        name: &name,
        kind: &kind,
        data: &data,
        owner: &caller.subject,
        at,
    };
    let once = state.once(&intent, &caller.subject, &bytes, at);
    let create = async |tx: &mut _| {
        let resource = resources::insert(tx, &new).await?;
        caller.audit(tx, at, &resource.id, json!({ "name": name, "kind": kind })).await?;
        let location = format!("/v1/resources/{}", resource.id);
        let version = resource.version;
        Ok(Answer::created(location, &ResourceResponse::from(resource))?.version(version))
    };
    state.db.write(caller.tenant, async |tx| once.run(tx, create).await).await
}
