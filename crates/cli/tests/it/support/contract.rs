//! What the OpenAPI document promises, held against every answer that a test gets.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Answer, schema, secrets};

/// One operation of the document.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: String,
    /// With `{id}` in it, where the operation has one.
    pub(crate) path: String,
    /// What `x-permission` says; empty for a public operation.
    pub(crate) permissions: Vec<String>,
    /// What `x-roles` says.
    pub(crate) roles: Vec<String>,
    document: Value,
}

impl Operation {
    pub(crate) fn is_public(&self) -> bool {
        self.permissions.is_empty()
    }

    /// Whether only operators may call it.
    pub(crate) fn is_for_operators(&self) -> bool {
        !self.is_public() && self.permissions.iter().all(|permission| permission.starts_with("operator "))
    }

    /// Whether only tenants may call it.
    pub(crate) fn is_for_tenants(&self) -> bool {
        !self.is_public() && !self.permissions.iter().any(|permission| permission.starts_with("operator "))
    }

    pub(crate) fn takes_id(&self) -> bool {
        self.path.contains("{id}")
    }

    pub(crate) fn takes_body(&self) -> bool {
        self.document.get("requestBody").is_some()
    }

    /// Whether it has a parameter of this name.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.parameters().any(|parameter| parameter["name"] == name)
    }

    /// The schema of its body.
    pub(crate) fn body_schema(&self) -> &Value {
        &self.document["requestBody"]["content"]["application/json"]["schema"]
    }

    /// What the document says of an answer with this status.
    pub(crate) fn response(&self, status: &str) -> &Value {
        &self.document["responses"][status]
    }

    /// Its parameter of this name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&Value> {
        self.parameters().find(|parameter| parameter["name"] == name)
    }

    /// Whether a principal of a tenant may call it, with the right role.
    pub(crate) fn is_open_to_tenants(&self) -> bool {
        self.permissions.iter().any(|permission| !permission.starts_with("operator "))
    }

    /// The path with an id in its place.
    pub(crate) fn path_of(&self, id: &str) -> String {
        self.path.replace("{id}", id)
    }

    fn parameters(&self) -> impl Iterator<Item = &Value> {
        self.document["parameters"].as_array().into_iter().flatten()
    }

    fn answers_to(&self, path: &str) -> bool {
        let (mut ours, mut asked) = (self.path.split('/'), path.split('/'));
        loop {
            match (ours.next(), asked.next()) {
                (None, None) => return true,
                (Some(part), Some(text)) if part == text || (part == "{id}" && !text.is_empty()) => {}
                _ => return false,
            }
        }
    }

    /// The `code`s of its problems with this status.
    fn codes(&self, status: u16) -> Vec<&str> {
        let examples = &self.document["responses"][status.to_string()]["content"][PROBLEM]["examples"];
        examples.as_object().into_iter().flatten().map(|(code, _)| code.as_str()).collect()
    }
}

const PROBLEM: &str = "application/problem+json";

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

/// The document.
#[derive(Default)]
pub(crate) struct Contract {
    document: Value,
    operations: Vec<Operation>,
}

impl Contract {
    pub(crate) fn of(document: Value) -> Self {
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

    pub(crate) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operations that a test goes through, of which there are some: one that looks at none would pass.
    #[track_caller]
    pub(crate) fn those(&self, wanted: impl Fn(&Operation) -> bool) -> impl Iterator<Item = &Operation> {
        let those: Vec<_> = self.operations.iter().filter(|operation| wanted(operation)).collect();
        assert!(!those.is_empty(), "the document has no such operation");
        those.into_iter()
    }

    /// The operation with this id.
    #[track_caller]
    pub(crate) fn operation(&self, id: &str) -> &Operation {
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

    /// Every place where an operation takes or gives a secret.
    pub(crate) fn places_of_secrets(&self) -> BTreeSet<secrets::Place> {
        let mut places = BTreeSet::new();
        for operation in &self.operations {
            let responses = operation.document["responses"].as_object().into_iter().flatten();
            let successes =
                responses.filter(|(status, _)| status.starts_with('2')).map(|(_, response)| response);
            for body in successes.chain([&operation.document["requestBody"]]) {
                for (_, content) in body["content"].as_object().into_iter().flatten() {
                    let found = secrets::in_schema(&self.document, &content["schema"]);
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
        if media_type.ends_with("json") {
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

    /// The document.
    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    /// What a reference refers to, or the value itself.
    pub(crate) fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let target = value["$ref"].as_str().map(|path| self.document.pointer(path.trim_start_matches('#')));
        target
            .map_or(value, |target| target.unwrap_or_else(|| panic!("the document has no {}", value["$ref"])))
    }

    /// Fails when an answer to a tenant's principal does not tell what is left of the tenant's limit.
    #[track_caller]
    pub(crate) fn check_limit_headers(&self, method: &str, path: &str, answer: &Answer) {
        let Ok(operation) = self.find(method, path) else { return };
        let code = answer.code();
        let not_admitted = ["tenant-mismatch", "tenant-suspended"].contains(&code.as_str());
        if operation.is_for_tenants() && answer.status != 401 && !not_admitted {
            let headers = [answer.header("ratelimit-policy"), answer.header("ratelimit")];
            // An operator, or an address that has to wait before the credential that it sends is looked up.
            let of_no_tenant = [403, 429].contains(&answer.status) && headers == ["", ""];
            let limited = headers.iter().all(|header| header.starts_with("\"tenant\";"));
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
