//! Who may do what: every operation of an application with the built-in roles that are admitted to it, as tables in Markdown.
//!
//! Owns the tables, which stand in the OpenAPI document's description and are what `bulkhead roles --markdown` prints. They are
//! made from the route table and the registry, which is what requests are judged by; that requests are is held by the test kit
//! (`an_operation_is_refused_exactly_when_the_role_lacks_its_permission`).

use std::fmt::Write as _;

use bulkhead_domain::Role;

use crate::http::operation::{Access, Catalog};

/// What stands above the tables.
const ABOUT: &str = "**Who may do what.** A person or an API key of a tenant has one role: a built-in one, as in the first table, or \
    one that the tenant has made (`POST /v1/roles`), which is admitted to each operation whose permission it holds. An operator has \
    one of the roles in the second table. `x` marks the roles that are admitted.";

/// The tables of a catalog: operations that tenants may call, and operations that operators may call.
pub fn matrix(catalog: &Catalog) -> String {
    let access = catalog.access();
    let mut text = format!("{ABOUT}\n");
    let of_tenants = |of: Access| match of {
        Access::Public | Access::Session | Access::Operator(_) => None,
        Access::AnyPrincipal | Access::Person => Some(Row::AnyRole),
        Access::Tenant(permission) | Access::Either(permission, _) => Some(Row::Needs(permission.as_str())),
    };
    let of_operators = |of: Access| match of {
        Access::Public | Access::Session | Access::Tenant(_) => None,
        Access::AnyPrincipal | Access::Person => Some(Row::AnyRole),
        Access::Operator(permission) | Access::Either(_, permission) => Some(Row::Needs(permission.as_str())),
    };
    let tenants = access.tenants();
    table(&mut text, catalog, "Tenants", tenants.roles(), of_tenants, |role, name| {
        tenants.names(role.permissions()).any(|held| held == name)
    });
    let operators = access.operators();
    table(&mut text, catalog, "Operators", operators.roles(), of_operators, |role, name| {
        operators.names(role.permissions()).any(|held| held == name)
    });
    text
}

/// What an operation asks of the callers of one side.
enum Row {
    AnyRole,
    Needs(&'static str),
}

fn table(
    text: &mut String,
    catalog: &Catalog,
    title: &str,
    roles: &[Role],
    of: impl Fn(Access) -> Option<Row>,
    holds: impl Fn(&Role, &str) -> bool,
) {
    let names: Vec<String> = roles.iter().map(|role| role.name().to_string()).collect();
    // Writing to a text does not fail.
    let _ = write!(
        text,
        "\n| {title} | needs | {} |\n|---|---|{}\n",
        names.join(" | "),
        ":-:|".repeat(names.len())
    );
    for (path, method, operation) in catalog.operations() {
        let Some(row) = of(operation.access) else { continue };
        let (needs, marks): (String, Vec<&str>) = match row {
            Row::AnyRole => ("any role".to_owned(), vec!["x"; roles.len()]),
            Row::Needs(name) => {
                let mark = |role| if holds(role, name) { "x" } else { " " };
                (format!("`{name}`"), roles.iter().map(mark).collect())
            }
        };
        let _ = writeln!(text, "| `{method} {path}` | {needs} | {} |", marks.join(" | "));
    }
}
