//! Business objects of a tenant.

mod create;
mod delete;
mod get;
mod list;
mod update;

use bulkhead_db::{JsonText, tenant::resources::Resource};
use bulkhead_domain::{JsonContent, ResourceId, Text, permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    answer::Answer,
    error::{ApiError, FieldError},
    operation::{Access, operations},
};

operations! {
    list::list_resources => Access::Tenant(permission::READ_RESOURCES), [], Page;
    create::create_resource => Access::Tenant(permission::WRITE_RESOURCES), [
        ApiError::Validation(Vec::new()),
    ], Content;
    get::get_resource => Access::Tenant(permission::READ_RESOURCES), [], Content;
    update::update_resource => Access::Tenant(permission::WRITE_RESOURCES), [
        ApiError::Validation(Vec::new()),
    ], Content;
    delete::delete_resource => Access::Tenant(permission::WRITE_RESOURCES), [];
}

/// A business object.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResourceResponse {
    /// Its id.
    #[schema(value_type = String, example = "res_01jd3e2x6m7k9v4q8t5b2n0c1d")]
    id: ResourceId,
    /// What people call it.
    #[schema(example = "Quarterly report")]
    name: String,
    /// What it is, in your own terms.
    #[schema(example = "document")]
    kind: String,
    /// Its content.
    #[schema(value_type = Object, example = json!({"pages": 12}))]
    data: JsonText,
    /// Who made it: a user or an API key.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1d")]
    owner: String,
    /// Grows by one with every change; the ETag says the same.
    #[schema(example = 1)]
    version: i64,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl From<Resource> for ResourceResponse {
    fn from(row: Resource) -> Self {
        let Resource { id, name, kind, data, owner, version, created_at, updated_at } = row;
        Self { id, name, kind, data, owner, version, created_at, updated_at }
    }
}

/// The answer that shows a resource as it is.
fn shown(resource: Resource) -> Result<Answer, ApiError> {
    let version = resource.version;
    Ok(Answer::ok(&ResourceResponse::from(resource))?.version(version))
}

/// A resource's name: 1 to 200 characters.
type Name = Text<200>;
/// A resource's kind: 1 to 64 characters.
type Kind = Text<64>;

/// Checks the name and the kind, where they are given.
fn check(name: Option<&str>, kind: Option<&str>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(Err(error)) = name.map(str::parse::<Name>) {
        errors.push(FieldError::new("/name", error));
    }
    if let Some(Err(error)) = kind.map(str::parse::<Kind>) {
        errors.push(FieldError::new("/kind", error));
    }
    errors
}

/// The content, if it can be kept; otherwise what is wrong with it is added to `errors`.
fn content(data: JsonContent, limit: usize, errors: &mut Vec<FieldError>) -> Option<JsonText> {
    match data.within(limit) {
        Ok(object) => Some(object.into()),
        Err(fault) => {
            errors.push(FieldError::new(&format!("/data{}", fault.pointer), &fault));
            None
        }
    }
}
