//! Business objects of a tenant.

mod create;
mod delete;
mod get;
mod list;
mod update;

use bulkhead_db::tenant::resources::Resource;
use bulkhead_domain::{Permission, ResourceId, Text};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    error::{ApiError, FieldError},
    operation::{Access, operations},
};

operations! {
    list::list_resources => Access::Tenant(Permission::ReadResources), [];
    create::create_resource => Access::Tenant(Permission::WriteResources), [
        ApiError::Validation(Vec::new()),
    ];
    get::get_resource => Access::Tenant(Permission::ReadResources), [];
    update::update_resource => Access::Tenant(Permission::WriteResources), [
        ApiError::Validation(Vec::new()),
    ];
    delete::delete_resource => Access::Tenant(Permission::WriteResources), [];
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
    data: Value,
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

/// A resource's name: 1 to 200 characters.
type Name = Text<200>;
/// A resource's kind: 1 to 64 characters.
type Kind = Text<64>;

/// Checks the fields that are given; complains about all of them at once.
fn check(name: Option<&str>, kind: Option<&str>, data: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(Err(error)) = name.map(str::parse::<Name>) {
        errors.push(FieldError::new("/name", error));
    }
    if let Some(Err(error)) = kind.map(str::parse::<Kind>) {
        errors.push(FieldError::new("/kind", error));
    }
    if data.is_some_and(|data| !data.is_object()) {
        errors.push(FieldError::new("/data", "must be an object"));
    }
    // PostgreSQL's jsonb cannot hold the NUL character.
    if data.is_some_and(holds_nul) {
        errors.push(FieldError::new("/data", "must not contain the character U+0000"));
    }
    errors
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
