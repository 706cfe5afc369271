//! What the OpenAPI document promises, held against every answer that a test gets.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Answer, Operation, fixture::Fixtures, schema, secrets};

/// What the names of operators' roles begin with in the document.
pub(crate) const OPERATOR: &str = "operator ";

pub(crate) const PROBLEM: &str = "application/problem+json";

/// Headers that tell a client something about what it has asked for.
const TELLING: [&str; 11] = [
    "x-request-id",
    "ratelimit",
    "ratelimit-policy",
    "etag",
    "location",
    "link",
    "idempotent-replayed",
    "content-disposition",
    "x-next-cursor",
    "retry-after",
    "www-authenticate",
];

/// What the document says, held against answers.
#[derive(Default)]
pub struct Contract {
    document: Value,
    operations: Vec<Operation>,
}

impl Contract {
    /// Reads the document.
    pub fn of(document: Value) -> Self {
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let permissions = operation["x-permission"].as_array().into_iter().flatten();
                let roles = operation["x-roles"].as_array().into_iter().flatten();
                operations.push(Operation {
                    id: text(&operation["operationId"]),
                    method: method.to_uppercase(),
                    path: path.clone(),
                    permissions: permissions.map(text).collect(),
                    roles: roles.map(text).collect(),
                    document: operation.clone(),
                });
            }
        }
        Self { document, operations }
    }

    /// All of them, by path.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operations that a test goes through, of which there are some: one that looks at none would pass. What is about the
    /// caller's own log-in is not among them: it would end the log-ins that the tests share.
    #[track_caller]
    pub fn those(&self, wanted: impl Fn(&Operation) -> bool) -> impl Iterator<Item = &Operation> {
        let wanted = |operation: &&Operation| !operation.is_personal() && wanted(operation);
        let those: Vec<_> = self.operations.iter().filter(wanted).collect();
        assert!(!those.is_empty(), "the document has no such operation");
        those.into_iter()
    }

    /// The operation with this id.
    #[track_caller]
    pub fn operation(&self, id: &str) -> &Operation {
        let found = self.operations.iter().find(|operation| operation.id == id);
        found.unwrap_or_else(|| panic!("the document has no operation {id}"))
    }

    fn find(&self, method: &str, path: &str) -> Result<&Operation, &'static str> {
        let path = path.split('?').next().unwrap_or_default();
        let mut of_path = self.operations.iter().filter(|operation| operation.answers_to(path)).peekable();
        if of_path.peek().is_none() {
            return Err("unknown-route");
        }
        of_path.find(|operation| operation.method == method).ok_or("method-not-allowed")
    }

    /// The id of the operation that answers there.
    pub(crate) fn id_of(&self, method: &str, path: &str) -> Option<&str> {
        self.find(method, path).ok().map(|operation| operation.id.as_str())
    }

    /// The roles of tenants' principals that operations name.
    pub fn tenants_roles(&self) -> impl Iterator<Item = &str> {
        self.roles().filter(|role| !role.starts_with(OPERATOR))
    }

    /// The roles of operators that operations name, without the word that marks them there.
    pub fn operators_roles(&self) -> impl Iterator<Item = &str> {
        self.roles().filter_map(|role| role.strip_prefix(OPERATOR))
    }

    fn roles(&self) -> impl Iterator<Item = &str> {
        let all: BTreeSet<&str> =
            self.operations.iter().flat_map(|operation| &operation.roles).map(String::as_str).collect();
        all.into_iter()
    }

    /// Every place where an operation takes or gives a secret.
    pub(crate) fn places_of_secrets(&self, fixtures: &Fixtures) -> BTreeSet<secrets::Place> {
        let mut places = BTreeSet::new();
        for operation in &self.operations {
            let responses = operation.document["responses"].as_object().into_iter().flatten();
            let successes =
                responses.filter(|(status, _)| status.starts_with('2')).map(|(_, response)| response);
            for body in successes.chain([&operation.document["requestBody"]]) {
                for (_, content) in body["content"].as_object().into_iter().flatten() {
                    let found = secrets::in_schema(&self.document, &content["schema"], fixtures);
                    places.extend(found.into_iter().map(|place| (operation.id.clone(), place)));
                }
            }
        }
        places
    }

    /// Fails when an answer is not one that the document describes.
    #[track_caller]
    pub(crate) fn check(&self, method: &str, path: &str, answer: &Answer) {
        let shown = || format!("{method} {path}\n{answer:#?}");
        assert!(answer.status < 500, "{}", shown());
        assert!(!answer.header("x-request-id").is_empty(), "{}", shown());
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{}", shown());
        assert!(!answer.header("cache-control").is_empty(), "{}", shown());
        let operation = self.find(method, path);
        if let Ok(operation) = &operation {
            let response = &operation.document["responses"][answer.status.to_string()];
            assert_eq!(self.wrong_headers(response, answer), Vec::<String>::new(), "{}", shown());
        }
        if answer.status >= 400 {
            check_problem(answer);
            match operation {
                Ok(operation) => {
                    let documented = operation.codes(answer.status);
                    let code = answer.code();
                    assert!(documented.contains(&code.as_str()), "undocumented {code}: {}", shown());
                }
                Err(code) => assert!([code, "rate-limited"].contains(&answer.code().as_str()), "{}", shown()),
            }
            return;
        }
        let operation = operation.unwrap_or_else(|_| panic!("undocumented: {}", shown()));
        let response = &operation.document["responses"][answer.status.to_string()];
        assert!(response.is_object(), "undocumented status: {}", shown());
        let media_type = answer.header("content-type").split(';').next().unwrap_or_default();
        let Some(content) = response["content"].as_object() else {
            assert_eq!(answer.body, "", "{}", shown());
            return;
        };
        let documented =
            content.get(media_type).unwrap_or_else(|| panic!("undocumented media type: {}", shown()));
        if media_type == "application/json" || media_type.ends_with("+json") {
            let wrong = schema::check(&self.document, &documented["schema"], &answer.json(), "");
            assert_eq!(wrong, Vec::<String>::new(), "{}", shown());
        }
    }

    /// Headers that say something and are not documented, or are documented for every such answer and are missing.
    fn wrong_headers(&self, response: &Value, answer: &Answer) -> Vec<String> {
        let mut wrong = Vec::new();
        let documented = response["headers"].as_object();
        let is_documented = |name: &str| {
            documented.is_some_and(|headers| headers.keys().any(|key| key.eq_ignore_ascii_case(name)))
        };
        for name in TELLING.iter().filter(|name| answer.headers.contains_key(**name) && !is_documented(name))
        {
            wrong.push(format!("{name} is not documented"));
        }
        for (name, header) in documented.into_iter().flatten() {
            if self.resolved(header)["required"] == true && !answer.headers.contains_key(name) {
                wrong.push(format!("{name} is missing"));
            }
        }
        wrong
    }

    /// What the document says of the JSON of an operation's answer with this status.
    pub(crate) fn answer_of<'a>(&'a self, operation: &'a Operation, status: &str) -> &'a Value {
        let response = self.resolved(&operation.document["responses"][status]);
        self.resolved(&response["content"]["application/json"]["schema"])
    }

    /// What the document says of a row of this list.
    pub(crate) fn row_of<'a>(&'a self, list: &'a Operation) -> &'a Value {
        let rows = self.resolved(&self.answer_of(list, "200")["properties"]["data"]);
        self.resolved(&rows["items"])
    }

    /// The document.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// What a reference refers to, or the value itself.
    pub fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let target = value["$ref"].as_str().map(|path| self.document.pointer(path.trim_start_matches('#')));
        target
            .map_or(value, |target| target.unwrap_or_else(|| panic!("the document has no {}", value["$ref"])))
    }

    /// Where a body has dates and times.
    pub(crate) fn moments(&self, schema: &Value) -> Vec<String> {
        let leaves = crate::body::leaves(self.document(), schema).into_iter();
        let moments =
            leaves.filter(|leaf| leaf.schema["format"] == "date" || leaf.schema["format"] == "date-time");
        moments.map(|leaf| leaf.pointer).collect()
    }

    /// Whether a body may have any JSON at this pointer; none where the document does not describe what is there.
    pub(crate) fn is_any_json(&self, schema: &Value, pointer: &str) -> Option<bool> {
        let mut schema = self.resolved(schema);
        for name in pointer.split('/').skip(1) {
            let property = schema["properties"].get(name);
            let item = schema.get("items").filter(|_| name.parse::<usize>().is_ok());
            schema = self.resolved(property.or(item)?);
        }
        let is_typed = schema["type"].is_string() || schema["type"].is_array() || schema["oneOf"].is_array();
        Some(schema["type"] == "object" && !schema["properties"].is_object() || !is_typed)
    }

    /// Fails when an answer to a tenant's principal does not tell what is left of the tenant's limit, or of the key's own.
    #[track_caller]
    pub(crate) fn check_limit_headers(&self, method: &str, path: &str, answer: &Answer) {
        let Ok(operation) = self.find(method, path) else { return };
        let code = answer.code();
        let not_admitted = ["tenant-mismatch", "tenant-suspended"].contains(&code.as_str());
        if operation.is_for_tenants() && answer.status != 401 && !not_admitted {
            let headers = [answer.header("ratelimit-policy"), answer.header("ratelimit")];
            // An operator, or an address that has to wait before the credential that it sends is looked up.
            let of_no_tenant = [403, 429].contains(&answer.status) && headers == ["", ""];
            // A key whose own limit is used up costs its tenant nothing.
            let told = |header: &&str| header.starts_with("\"tenant\";") || header.starts_with("\"key\";");
            let limited = headers.iter().all(told);
            assert!(limited || of_no_tenant, "{method} {path}: {answer:#?}");
        }
    }
}

/// Fails when a refusal is not a whole problem document (RFC 9457).
#[track_caller]
fn check_problem(answer: &Answer) {
    assert_eq!(answer.header("content-type"), PROBLEM, "{answer:#?}");
    let body = answer.json();
    for member in ["type", "title", "detail", "code", "request_id"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {answer:#?}");
    }
    assert_eq!(body["status"], answer.status, "{answer:#?}");
    assert_eq!(body["request_id"], answer.header("x-request-id"), "{answer:#?}");
    match answer.status {
        401 => {
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{answer:#?}");
        }
        429 | 503 => assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|s| s > 0), "{answer:#?}"),
        _ => {}
    }
}
