//! What can be asked about business objects: one handler for each operation, and the requests that they take.

use bulkhead::prelude::*;
use serde::Deserialize;
use serde_json::json;

use crate::{
    READ_RESOURCES, ResourceId, WRITE_RESOURCES,
    store::{self, Change, Resource},
};

operations! {
    list_resources => Access::Tenant(READ_RESOURCES), [], Page;
    create_resource => Access::Tenant(WRITE_RESOURCES), [Error::Validation(Vec::new())], Content;
    get_resource => Access::Tenant(READ_RESOURCES), [], Content;
    update_resource => Access::Tenant(WRITE_RESOURCES), [Error::Validation(Vec::new())], Content;
    delete_resource => Access::Tenant(WRITE_RESOURCES), [];
}

/// A resource's name: 1 to 200 characters.
type Name = Text<200>;
/// A resource's kind: 1 to 64 characters.
type Kind = Text<64>;

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
    get, path = "/v1/resources", params(ListResourcesQuery),
    responses((status = 200, description = "A page of resources.", body = PageResponse<Resource>)),
)]
pub(crate) async fn list_resources(
    call: TenantCall,
    Query(query): Query<ListResourcesQuery>,
) -> Result<Answer> {
    let page = page_request(query.limit, query.cursor.as_deref(), ResourceId::uuid)?;
    let kind = query.kind.as_deref();
    if let Some(Err(error)) = kind.map(str::parse::<Kind>) {
        return Err(Error::InvalidParameter { name: "kind", detail: error.to_string() });
    }
    let rows = call.read(async |tx| store::list(tx, kind, page).await).await?;
    call.page(rows, |row| row.id, |row| row)
}

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
    post, path = "/v1/resources", params(IdempotencyKeyHeader), request_body = CreateResourceRequest,
    responses((status = 201, description = "Created.", body = Resource)),
)]
pub(crate) async fn create_resource(
    call: TenantCall,
    Json(body): Json<CreateResourceRequest>,
) -> Result<Answer> {
    let CreateResourceRequest { name, kind, data } = body;
    let mut fields = Fields::default();
    fields.check::<Name>("/name", &name);
    fields.check::<Kind>("/kind", &kind);
    let data = fields.content("/data", data, call.data_limit());
    fields.finish()?;
    let (at, owner) = (call.at(), call.subject().to_owned());
    let id = ResourceId::mint(at);
    let resource = Resource { id, name, kind, data, owner, version: 1, created_at: at, updated_at: at };
    call.write(async |tx| {
        store::insert(tx, &resource).await?;
        let answer = Answer::created(format!("/v1/resources/{id}"), &resource)?.version(resource.version);
        Ok(Written::changed(id, json!({ "name": resource.name, "kind": resource.kind }), answer))
    })
    .await
}

/// Read a resource
#[utoipa::path(
    get, path = "/v1/resources/{id}",
    responses((status = 200, description = "The resource.", body = Resource)),
)]
pub(crate) async fn get_resource(call: TenantCall, Id(id): Id<ResourceId>) -> Result<Answer> {
    let found = call.read(async |tx| store::find(tx, id).await).await?;
    shown(&found.ok_or(Error::NotFound)?)
}

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
/// Send the ETag you were given in `If-Match`, and no other client's change is overwritten unseen. Without it the last change
/// wins. A change that leaves everything as it is leaves the version, too.
#[utoipa::path(
    patch, path = "/v1/resources/{id}", params(IfMatchHeader), request_body = UpdateResourceRequest,
    responses((status = 200, description = "The resource as it is now.", body = Resource)),
)]
pub(crate) async fn update_resource(
    call: TenantCall,
    Id(id): Id<ResourceId>,
    if_match: IfMatch,
    Json(body): Json<UpdateResourceRequest>,
) -> Result<Answer> {
    let UpdateResourceRequest { name, kind, data } = body;
    let mut fields = Fields::default();
    if let Some(name) = &name {
        fields.check::<Name>("/name", name);
    }
    if let Some(kind) = &kind {
        fields.check::<Kind>("/kind", kind);
    }
    let data = data.map(|data| fields.content("/data", data, call.data_limit()));
    fields.finish()?;
    let change = Change { name: name.as_deref(), kind: kind.as_deref(), data: data.as_ref() };
    call.write(async |tx| {
        let head = store::lock(tx, id).await?.ok_or(Error::NotFound)?;
        if_match.check(head.version)?;
        if change.keeps(&head) {
            let resource = store::find(tx, id).await?.ok_or(Error::NotFound)?;
            return Ok(Written::unchanged(shown(&resource)?));
        }
        let resource = store::update(tx, id, &change, call.at()).await?.ok_or(Error::NotFound)?;
        let changes = json!({ "version": resource.version, "name": name, "kind": kind });
        Ok(Written::changed(id, changes, shown(&resource)?))
    })
    .await
}

/// Remove a resource
#[utoipa::path(
    delete, path = "/v1/resources/{id}", params(IfMatchHeader),
    responses((status = 204, description = "Removed.")),
)]
pub(crate) async fn delete_resource(
    call: TenantCall,
    Id(id): Id<ResourceId>,
    if_match: IfMatch,
) -> Result<Answer> {
    call.write(async |tx| {
        let head = store::lock(tx, id).await?.ok_or(Error::NotFound)?;
        if_match.check(head.version)?;
        store::delete(tx, id).await?;
        let changes = json!({ "name": head.name, "version": head.version });
        Ok(Written::changed(id, changes, Answer::no_content()))
    })
    .await
}

/// The answer that shows a resource as it is.
fn shown(resource: &Resource) -> Result<Answer> {
    Ok(Answer::ok(resource)?.version(resource.version))
}
