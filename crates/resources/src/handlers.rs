//! What can be asked about business objects: one handler for each operation, and the requests that they take.

use bulkhead::prelude::*;

use crate::{
    READ_RESOURCES, ResourceId, WRITE_RESOURCES,
    store::{self, Change, Resource},
};

operations! {
    list_resources => Access::Tenant(READ_RESOURCES), [], Page;
    create_resource => Access::Tenant(WRITE_RESOURCES), [], Content;
    get_resource => Access::Tenant(READ_RESOURCES), [], Content;
    update_resource => Access::Tenant(WRITE_RESOURCES), [], Content;
    delete_resource => Access::Tenant(WRITE_RESOURCES), [];
}

/// Which resources to list.
#[filter(ResourceId)]
pub(crate) struct ListResourcesQuery {
    /// Only resources of this kind.
    #[param(min_length = 1, max_length = 64, example = "document")]
    kind: Option<String>,
}

/// List resources
///
/// In the order in which their rows were begun.
#[get("/v1/resources", PageResponse<Resource>)]
pub(crate) async fn list_resources(
    call: TenantCall,
    Query(query): Query<ListResourcesQuery>,
) -> Result<Answer> {
    let page = query.page()?;
    let rows = call.read(async |tx| store::list(tx, query.kind.as_deref(), page).await).await?;
    call.page(rows, |row| row.id, |row| row)
}

/// A resource to create.
#[body]
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
    #[schema(example = json!({"pages": 12}))]
    data: JsonContent,
}

/// Create a resource
///
/// The resource belongs to your tenant, and you are its owner.
#[post("/v1/resources", Resource)]
pub(crate) async fn create_resource(
    call: TenantCall,
    Json(body): Json<CreateResourceRequest>,
) -> Result<Answer> {
    let CreateResourceRequest { name, kind, data } = body;
    let data = call.content(data)?;
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
#[get("/v1/resources/{id}", Resource)]
pub(crate) async fn get_resource(call: TenantCall, Id(id): Id<ResourceId>) -> Result<Answer> {
    let found = call.read(async |tx| store::find(tx, id).await).await?;
    shown(&found.ok_or(Error::NotFound)?)
}

/// The fields to change; those left out stay as they are.
#[body]
pub(crate) struct UpdateResourceRequest {
    /// The new name.
    #[schema(min_length = 1, max_length = 200, example = "Quarterly report, final")]
    name: Option<String>,
    /// The new kind.
    #[schema(min_length = 1, max_length = 64, example = "document")]
    kind: Option<String>,
    /// The new content, whole.
    #[schema(example = json!({"pages": 14}))]
    data: Option<JsonContent>,
}

/// Change a resource
///
/// Send the ETag you were given in `If-Match`, and no other client's change is overwritten unseen. Without it the last change
/// wins. A change that leaves everything as it is leaves the version, too.
#[patch("/v1/resources/{id}", Resource)]
pub(crate) async fn update_resource(
    call: TenantCall,
    Id(id): Id<ResourceId>,
    if_match: IfMatch,
    Json(body): Json<UpdateResourceRequest>,
) -> Result<Answer> {
    let UpdateResourceRequest { name, kind, data } = body;
    let data = data.map(|data| call.content(data)).transpose()?;
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
#[delete("/v1/resources/{id}")]
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
