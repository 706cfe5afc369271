//! The OpenAPI document: what the handlers say of themselves, and what the pipeline adds to every one of them.
//!
//! Security, permissions and common headers are written here from the route table, once, so that no handler can say
//! something else than is enforced. Which errors an operation may answer with follows from what it takes, and its own
//! ones stand beside its access in the route table. That nothing else is answered is checked in the tests of `cli`, where
//! every answer is held against this document (`testkit/src/contract.rs`).

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::{Method, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bulkhead_domain::{AccessRegistry, Role, permission};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, PartialSchema};

use crate::http::{
    error::{ApiError, FieldError},
    extract::{IdempotencyKeyHeader, writes},
    matrix::matrix,
    operation::{Access, Catalog, Operation},
    problem::Problem,
};

mod headers;

/// What is said of every list's `cursor`.
const CURSOR: &str = "The `next_cursor` of the page before. Every row that is there when you read the first page, and is not \
                      removed before its place comes, is shown exactly once; of rows that are added meanwhile some may be \
                      shown. *Lists*, at the top, says how to follow a list.";

/// What every client begins with; the extensions' tags follow.
const SESSION_TAGS: [(&str, &str); 2] = [("auth", "Log in, stay logged in, log out."), ("me", "Who am I.")];
/// What stands behind the extensions' tags.
const CORE_TAGS: [(&str, &str); 18] = [
    ("users", "A tenant's people."),
    ("roles", "What a tenant's people and programs may do."),
    ("identity providers", "Whose word is taken for who somebody is."),
    ("api-keys", "A tenant's credentials for programs."),
    ("settings", "What a tenant allows the platform's operators."),
    ("usage", "What was used, for dashboards and for billing."),
    ("scaling", "What a tenant's load calls for."),
    ("audit", "Who did what: to be read, and to be taken away and verified."),
    ("operations", "Work that goes on in the background."),
    ("service", "What the service says about itself."),
    ("operators: tenants", "For operators: the platform's customers."),
    ("operators: usage", "For operators: what all tenants have used."),
    ("operators: identity providers", "For operators: issuers of the platform and of tenants."),
    ("operators: signing keys", "For operators: the keys that sign access tokens."),
    ("operators: operators", "For operators: the people who run the platform."),
    ("operators: roles", "For operators: what they and their programs may do."),
    ("operators: api-keys", "For operators: credentials of their programs."),
    ("operators: audit", "For operators: what operators and the machinery did."),
];

/// The finished document of a catalog.
pub fn document(catalog: &Catalog) -> Result<Value, serde_json::Error> {
    let mut document = serde_json::to_value(catalog.docs())?;
    describe_service(&mut document, catalog)?;
    let versioned = headers::versioned(&document);
    let mut problems = Problems::default();
    for (path, method, operation) in catalog.operations() {
        let pointer = format!(
            "/paths/{}/{}",
            path.replace('~', "~0").replace('/', "~1"),
            method.as_str().to_lowercase()
        );
        if let Some(Value::Object(documented)) = document.pointer_mut(&pointer) {
            let route = (path, method);
            describe_operation(documented, operation, route, catalog.access(), &versioned, &mut problems);
        }
    }
    if let Some(Value::Object(components)) = document.get_mut("components") {
        components.insert("examples".to_owned(), json!(problems.shared));
    }
    Ok(document)
}

/// Says in a document that the API is reached below a path, which the proxy in front takes off.
pub(crate) fn place_below(public_path: &str, document: &mut Value) {
    let url = document.pointer_mut("/servers/0/url");
    if let Some(url) = url.filter(|_| !public_path.is_empty()) {
        *url = json!(public_path);
    }
}

fn describe_service(document: &mut Value, catalog: &Catalog) -> Result<(), serde_json::Error> {
    let about = catalog.about();
    let mut info = json!({
        "title": about.title,
        "version": about.version,
        "description": format!("{}\n{}", include_str!("openapi.md"), matrix(catalog)),
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    if let (Some(svg), Some(info)) = (about.logo, info.as_object_mut()) {
        let url = format!("data:image/svg+xml;base64,{}", BASE64.encode(svg));
        info.insert("x-logo".to_owned(), json!({ "url": url, "altText": about.title }));
    }
    document["info"] = info;
    document["servers"] = json!([{ "url": "/", "description": "This server." }]);
    let tags = SESSION_TAGS.iter().chain(catalog.extensions()).chain(&CORE_TAGS);
    document["tags"] =
        tags.map(|(name, about)| json!({ "name": name, "description": about })).collect::<Vec<_>>().into();
    let Some(Value::Object(components)) = document.get_mut("components") else { return Ok(()) };
    let schemes = json!({
        "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "An access token from /v1/auth/login, or an API key.",
        },
        "api_key": {
            "type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key.",
        },
    });
    components.insert("securitySchemes".to_owned(), schemes);
    components.insert("headers".to_owned(), headers::components());
    if let Some(Value::Object(schemas)) = components.get_mut("schemas") {
        schemas.insert("Problem".to_owned(), serde_json::to_value(Problem::schema())?);
        schemas.insert("FieldError".to_owned(), serde_json::to_value(FieldError::schema())?);
    }
    Ok(())
}

fn describe_operation(
    documented: &mut Map<String, Value>,
    operation: &Operation,
    (path, method): (&str, &Method),
    access: &AccessRegistry,
    versioned: &BTreeSet<String>,
    problems: &mut Problems,
) {
    let needs = match operation.access {
        Access::Public | Access::Session => Vec::new(),
        Access::AnyPrincipal => {
            vec!["any principal of a tenant".to_owned(), "operator of any role".to_owned()]
        }
        Access::Person => vec!["any person of a tenant".to_owned(), "operator of any role".to_owned()],
        Access::Tenant(permission) => vec![permission.to_string()],
        Access::Operator(permission) => vec![format!("operator {permission}")],
        Access::Either(tenant, operator) => vec![tenant.to_string(), format!("operator {operator}")],
    };
    let security = match operation.access {
        Access::Public | Access::Session => json!([]),
        Access::Person => json!([{ "bearer": [] }]),
        Access::AnyPrincipal | Access::Tenant(_) | Access::Operator(_) | Access::Either(..) => {
            json!([{ "bearer": [] }, { "api_key": [] }])
        }
    };
    documented.insert("security".into(), security);
    if !needs.is_empty() {
        let said = documented.get("description").and_then(Value::as_str).unwrap_or_default();
        let said = format!("{said}\n\nNeeds: `{}`.", needs.join("`, or `"));
        documented.insert("description".into(), json!(said.trim_start()));
        documented.insert("x-permission".into(), json!(needs));
        documented.insert("x-roles".into(), json!(roles(operation.access, access)));
    }
    if !needs.is_empty() && writes(method) {
        take_idempotency_key(documented);
    }
    add_parts_of_path(documented, path);
    for parameter in documented.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        describe_parameter(parameter);
    }
    let takes = headers::Takes::of(documented);
    let errors = errors_of(documented, operation, path);
    let Some(Value::Object(responses)) = documented.get_mut("responses") else { return };
    for (status, response) in responses.iter_mut() {
        response["headers"] = headers::of_answer(status, response, operation.access, takes, versioned);
    }
    for (status, errors) in by_status(errors) {
        responses.insert(status.as_str().to_owned(), problems.response(status, &errors, operation.access));
    }
}

/// Describes the header that a call reads of every request that writes, where the handler does not describe it.
fn take_idempotency_key(documented: &mut Map<String, Value>) {
    let parameters = documented.entry("parameters").or_insert_with(|| json!([]));
    let Some(parameters) = parameters.as_array_mut() else { return };
    let described = json!(IdempotencyKeyHeader::into_params(|| None));
    for parameter in described.as_array().into_iter().flatten() {
        if parameters.iter().all(|known| known["name"] != parameter["name"]) {
            parameters.push(parameter.clone());
        }
    }
}

/// The roles that may call an operation, operators' with `operator ` before them.
fn roles(access: Access, registry: &AccessRegistry) -> Vec<String> {
    let of_tenants = |role: &&Role| match access {
        Access::Public | Access::Session | Access::Operator(_) => false,
        Access::AnyPrincipal | Access::Person => true,
        Access::Tenant(permission) | Access::Either(permission, _) => {
            registry.bit(permission).is_some_and(|bit| role.permissions().contains(bit))
        }
    };
    let of_operators = |role: &&Role| match access {
        Access::Public | Access::Session | Access::Tenant(_) => false,
        Access::AnyPrincipal | Access::Person => true,
        Access::Operator(permission) | Access::Either(_, permission) => {
            registry.operator_bit(permission).is_some_and(|bit| role.permissions().contains(bit))
        }
    };
    let tenants = registry.tenants().roles().iter().filter(of_tenants).map(|role| role.name().to_string());
    let operators = registry.operators().roles().iter().filter(of_operators);
    tenants.chain(operators.map(|role| format!("operator {}", role.name()))).collect()
}

/// Documents the variable parts of a path that the handler's own annotations leave out.
fn add_parts_of_path(documented: &mut Map<String, Value>, path: &str) {
    let parts = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let parameters = documented.entry("parameters").or_insert_with(|| json!([]));
    let Some(parameters) = parameters.as_array_mut() else { return };
    for (place, name) in parts.enumerate() {
        if !parameters.iter().any(|known| known["in"] == "path" && known["name"] == name) {
            let description = if name == "id" { "Its id." } else { "A part of the path." };
            let part = json!({
                "name": name, "in": "path", "required": true, "description": description, "schema": { "type": "string" },
            });
            parameters.insert(place, part);
        }
    }
    if parameters.is_empty() {
        documented.remove("parameters");
    }
}

/// What is said of a parameter beside what its handler says. An optional one of a query keeps its example as text: pages that
/// try an operation out fill in what stands as an example, and an example of a filter finds nothing.
fn describe_parameter(parameter: &mut Value) {
    if parameter["name"] == "cursor" {
        parameter["description"] = json!(CURSOR);
    }
    if parameter["in"] != "query" || parameter["required"] == true {
        return;
    }
    let Some(example) = parameter.as_object_mut().and_then(|members| members.remove("example")) else {
        return;
    };
    let said = parameter["description"].as_str().unwrap_or_default().trim_end();
    let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
    parameter["description"] = json!(format!("{said} For example `{example}`."));
}

/// Which errors an operation can answer with: from what it takes, and its own.
fn errors_of(documented: &Map<String, Value>, operation: &Operation, path: &str) -> Vec<ApiError> {
    let takes = |name: &str| {
        let parameters = documented.get("parameters").and_then(Value::as_array);
        parameters.is_some_and(|all| {
            all.iter().any(|parameter| parameter["name"] == name || parameter["in"] == name)
        })
    };
    let unavailable = || ApiError::Unavailable("".into());
    let mut errors = vec![
        ApiError::RateLimited { retry_after: std::time::Duration::ZERO },
        unavailable(),
        ApiError::internal(""),
    ];
    let is_public = matches!(operation.access, Access::Public | Access::Session);
    if !is_public {
        errors.extend([
            ApiError::MissingCredentials,
            ApiError::InvalidCredentials,
            ApiError::Forbidden { needs: permission::READ_USERS.as_str() },
            ApiError::TenantSuspended,
            ApiError::TenantMismatch,
            ApiError::TooManyInFlight,
        ]);
    }
    if operation.access == Access::Person {
        errors.push(ApiError::PersonRequired);
    }
    if path.contains("{id}") {
        errors.push(ApiError::NotFound);
    }
    if takes("query") || takes("header") || !is_public {
        errors.push(ApiError::InvalidQuery {
            parameter: "colour".to_owned(),
            detail: "is unknown: expected one of `limit`, `cursor`".to_owned(),
        });
    }
    if takes("If-Match") {
        errors.push(ApiError::PreconditionFailed);
    }
    if takes("Idempotency-Key") {
        errors.extend([
            ApiError::IdempotencyInProgress,
            ApiError::AlreadyCompleted { location: None },
            ApiError::IdempotencyKeyReused,
        ]);
    }
    if documented.contains_key("requestBody") {
        errors.extend([
            ApiError::MalformedJson("EOF while parsing an object at line 1 column 7".to_owned()),
            ApiError::UnfitField(FieldError::new("/name", "must be a string, not null")),
            ApiError::Validation(vec![FieldError::new("/name", "must be at most 200 characters long")]),
            ApiError::BodyTooLarge { limit: 1_048_576 },
            ApiError::UnsupportedMediaType,
            ApiError::RequestTimeout,
        ]);
    }
    errors.extend((operation.errors)());
    errors
}

fn by_status(errors: Vec<ApiError>) -> Vec<(StatusCode, Vec<ApiError>)> {
    let mut grouped: Vec<(StatusCode, Vec<ApiError>)> = Vec::new();
    for error in errors {
        match grouped.iter_mut().find(|(status, _)| *status == error.status()) {
            Some((_, group)) => group.push(error),
            None => grouped.push((error.status(), vec![error])),
        }
    }
    grouped
}

/// The problems of all operations. What several operations say alike stands in the document once.
#[derive(Default)]
struct Problems {
    /// Code → the example that operations refer to.
    shared: BTreeMap<&'static str, Value>,
}

impl Problems {
    /// The answer with one of these errors, which have the same status.
    fn response(&mut self, status: StatusCode, errors: &[ApiError], access: Access) -> Value {
        let examples: Map<String, Value> =
            errors.iter().map(|error| (error.code().to_owned(), self.example(error))).collect();
        let codes: Vec<&str> = errors.iter().map(ApiError::code).collect();
        json!({
            "description": format!("{}: `{}`.", status.canonical_reason().unwrap_or("Error"), codes.join("`, `")),
            "headers": headers::of_problem(status, errors, access),
            "content": {
                "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" }, "examples": examples },
            },
        })
    }

    /// A reference to the example of the error's code, or an example of its own where this operation says it otherwise.
    fn example(&mut self, error: &ApiError) -> Value {
        let example = json!({ "value": Problem::of(error, "req_0193a5c4b7e07c9a8d21") });
        let shared = self.shared.entry(error.code()).or_insert_with(|| example.clone());
        if *shared == example {
            json!({ "$ref": format!("#/components/examples/{}", error.code()) })
        } else {
            example
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::about::About;

    #[test]
    fn the_document_says_what_the_application_says_of_itself() {
        let about = About { name: "shop", title: "The <Shop>", version: "7.1.0", logo: Some("<svg/>") };
        let access = AccessRegistry::assemble(&[]).unwrap();
        let catalog = Catalog::assemble(crate::routes::core(), &access).unwrap().with_about(about);
        let document = document(&catalog).unwrap();
        assert_eq!(document["info"]["title"], "The <Shop>");
        assert_eq!(document["info"]["version"], "7.1.0");
        assert_eq!(document["info"]["x-logo"]["url"], "data:image/svg+xml;base64,PHN2Zy8+");
    }

    #[test]
    fn every_operation_is_described_with_its_access_and_its_own_errors() {
        let catalog =
            Catalog::assemble(crate::routes::core(), &AccessRegistry::assemble(&[]).unwrap()).unwrap();
        let document = document(&catalog).unwrap();
        assert!(catalog.operations().count() > 30);
        for (path, method, operation) in catalog.operations() {
            let documented = &document["paths"][path][method.as_str().to_lowercase()];
            assert_eq!(documented["operationId"], operation.id);
            let is_public = matches!(operation.access, Access::Public | Access::Session);
            assert_eq!(documented["security"] == json!([]), is_public, "{path}");
            assert_eq!(documented["x-permission"].is_null(), is_public, "{path}");
            assert_eq!(documented["x-roles"].is_null(), is_public, "{path}");
            let parameters = documented["parameters"].as_array().into_iter().flatten();
            let keys = parameters.filter(|parameter| parameter["name"] == "Idempotency-Key").count();
            assert_eq!(keys, usize::from(!is_public && method != Method::GET), "{path}");
            for error in (operation.errors)() {
                let response = &documented["responses"][error.status().as_str()];
                let example = &response["content"]["application/problem+json"]["examples"][error.code()];
                let shared = example["$ref"].as_str().map(|at| document.pointer(&at[1..]));
                let example = shared.unwrap_or(Some(example)).map(|example| &example["value"]["code"]);
                assert_eq!(example, Some(&json!(error.code())), "{}", operation.id);
            }
        }
    }
}
