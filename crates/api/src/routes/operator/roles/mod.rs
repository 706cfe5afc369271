//! The roles of operators: the built-in ones, and those that the platform has defined.

mod create;
mod delete;
mod get;
mod list;
mod update;

use std::collections::BTreeSet;

use bulkhead_db::tenant::roles::RoleRow;
use bulkhead_domain::{AccessRegistry, Role, RoleName, operator_permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::not_grantable;
use crate::http::{
    error::ApiError,
    operation::{Access, operations},
    validation::Fields,
};

operations! {
    list::list_operator_roles => Access::Operator(operator_permission::READ_OPERATORS), [], List;
    create::create_operator_role => Access::Operator(operator_permission::WRITE_OPERATORS), [
        not_grantable(),
        ApiError::Taken { what: "role name" },
        TOO_MANY,
    ];
    get::get_operator_role => Access::Operator(operator_permission::READ_OPERATORS), [];
    update::update_operator_role => Access::Operator(operator_permission::WRITE_OPERATORS), [
        not_grantable(),
        BUILT_IN,
    ];
    delete::delete_operator_role => Access::Operator(operator_permission::WRITE_OPERATORS), [
        not_grantable(),
        BUILT_IN,
    ];
}

/// How many entries a role has at most.
const ENTRIES: usize = 100;
/// How many characters its description has at most.
const DESCRIPTION: usize = 500;

const BUILT_IN: ApiError =
    ApiError::WrongState("A built-in role cannot be changed or removed. Make a role of your own.");
const TOO_MANY: ApiError = ApiError::WrongState(
    "There are at most 200 roles besides the built-in ones. Remove one that is not used.",
);
const IN_USE: ApiError = ApiError::WrongState("Operators have this role. Give them another one first.");
const HAD_BEFORE: ApiError = ApiError::WrongState(
    "Operators have a role of this name, which does not exist. Give them another one first.",
);

/// A role of operators.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorRoleResponse {
    /// Its name.
    #[schema(value_type = String, example = "onboarding")]
    name: RoleName,
    /// What people say of it; empty for a built-in one.
    #[schema(example = "Creates tenants.")]
    description: String,
    /// Whether every program has it. Such a role cannot be changed.
    #[schema(example = false)]
    built_in: bool,
    /// What it holds, as it was written: `*` stands for all of an action or of a resource. A permission that does not exist
    /// any more stays, and holds nothing.
    #[schema(example = json!(["read:tenants", "write:tenants"]))]
    permissions: Vec<String>,
    /// What it holds now: the permissions that exist of these.
    #[schema(example = json!(["read:tenants", "write:tenants"]))]
    effective_permissions: Vec<&'static str>,
    /// Grows by one with every change; the ETag says the same. A built-in role has one version.
    #[schema(example = 1)]
    version: i64,
    /// When it was made; null for a built-in one.
    created_at: Option<DateTime<Utc>>,
    /// When it was last changed; null for a built-in one.
    updated_at: Option<DateTime<Utc>>,
    /// Who made it; null for a built-in one.
    #[schema(example = "opr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    created_by: Option<String>,
}

impl OperatorRoleResponse {
    fn built_in(access: &AccessRegistry, role: &Role) -> Self {
        let held: Vec<_> = access.operators().names(role.permissions()).collect();
        Self {
            name: role.name(),
            description: String::new(),
            built_in: true,
            permissions: held.iter().map(|name| (*name).to_owned()).collect(),
            effective_permissions: held,
            version: 1,
            created_at: None,
            updated_at: None,
            created_by: None,
        }
    }

    fn own(access: &AccessRegistry, row: RoleRow) -> Self {
        let RoleRow { name, description, permissions, version, created_at, updated_at, created_by } = row;
        let operators = access.operators();
        let held = operators.own_role(name, &permissions).permissions();
        Self {
            name,
            description,
            built_in: false,
            effective_permissions: operators.names(held).collect(),
            permissions,
            version,
            created_at: Some(created_at),
            updated_at: Some(updated_at),
            created_by: Some(created_by),
        }
    }
}

/// Checks what a role is to hold. Entries among `kept`, which it has already, may be such that do not exist any more.
fn check_entries(fields: &mut Fields, access: &AccessRegistry, entries: &[String], kept: &[String]) {
    if !fields.items("/permissions", entries.len(), 0, ENTRIES) {
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, entry) in entries.iter().enumerate() {
        let pointer = format!("/permissions/{index}");
        if !seen.insert(entry) {
            fields.refuse(&pointer, "is in the list already");
        } else if !kept.contains(entry) {
            fields.take(&pointer, access.read_operator_entry(entry));
        }
    }
}
