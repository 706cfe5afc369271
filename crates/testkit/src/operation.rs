//! One operation of the OpenAPI document.

use serde_json::Value;

use crate::contract::PROBLEM;

/// An operation of the application, as its OpenAPI document describes it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name, like `create_invoice`.
    pub id: String,
    /// In capitals, like `POST`.
    pub method: String,
    /// With `{id}` in it, where the operation is about one thing, and the place of another id behind it, where it is about a part.
    pub path: String,
    /// What `x-permission` says; empty for a public operation.
    pub permissions: Vec<String>,
    /// What `x-roles` says.
    pub roles: Vec<String>,
    pub(crate) document: Value,
}

impl Operation {
    /// Whether it may be called without a credential.
    pub fn is_public(&self) -> bool {
        self.permissions.is_empty()
    }

    /// Whether it is about the person who calls it, whatever their role: their sessions, their password. No key may call it, and
    /// it has nothing that another person could name.
    pub fn is_personal(&self) -> bool {
        self.permissions.iter().any(|permission| permission == "any person of a tenant")
    }

    /// Whether only operators may call it.
    pub fn is_for_operators(&self) -> bool {
        !self.is_public() && self.permissions.iter().all(|permission| permission.starts_with("operator "))
    }

    /// Whether only tenants may call it.
    pub fn is_for_tenants(&self) -> bool {
        !self.is_public() && !self.permissions.iter().any(|permission| permission.starts_with("operator "))
    }

    /// Whether it has an `{id}` in its path.
    pub fn takes_id(&self) -> bool {
        self.path.contains("{id}")
    }

    /// Whether it reads a body.
    pub fn takes_body(&self) -> bool {
        self.document.get("requestBody").is_some()
    }

    /// Whether it has a parameter of this name.
    pub fn takes(&self, name: &str) -> bool {
        self.parameters().any(|parameter| parameter["name"] == name)
    }

    /// The schema of its body.
    pub fn body_schema(&self) -> &Value {
        &self.document["requestBody"]["content"]["application/json"]["schema"]
    }

    /// What the document says of an answer with this status.
    pub fn response(&self, status: &str) -> &Value {
        &self.document["responses"][status]
    }

    /// Its parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&Value> {
        self.parameters().find(|parameter| parameter["name"] == name)
    }

    /// Whether a principal of a tenant may call it, with the right role.
    pub fn is_open_to_tenants(&self) -> bool {
        self.permissions.iter().any(|permission| !permission.starts_with("operator "))
    }

    /// The path with an id in its place. Where it has places for several, `id` is all of them with slashes between.
    pub fn path_of(&self, id: &str) -> String {
        let mut ids = id.split('/');
        let place = |part: &str| {
            let id = part.starts_with('{').then(|| ids.next()).flatten();
            id.unwrap_or(part).to_owned()
        };
        self.path.split('/').map(place).collect::<Vec<_>>().join("/")
    }

    /// Whether it only reads.
    pub fn is_read(&self) -> bool {
        self.method == "GET"
    }

    /// Its method and path, to name it.
    pub(crate) fn shown(&self) -> String {
        format!("{} ({} {})", self.id, self.method, self.path)
    }

    /// The parameters of its query that choose rows of a list, each with its schema.
    pub(crate) fn filters(&self) -> impl Iterator<Item = (&str, &Value)> {
        let of_query = self.parameters().filter(|parameter| parameter["in"] == "query");
        let named =
            of_query.filter_map(|parameter| Some((parameter["name"].as_str()?, &parameter["schema"])));
        named.filter(|(name, _)| !["limit", "cursor"].contains(name))
    }

    fn parameters(&self) -> impl Iterator<Item = &Value> {
        self.document["parameters"].as_array().into_iter().flatten()
    }

    pub(crate) fn answers_to(&self, path: &str) -> bool {
        let (mut ours, mut asked) = (self.path.split('/'), path.split('/'));
        loop {
            match (ours.next(), asked.next()) {
                (None, None) => return true,
                (Some(part), Some(text)) if part == text || (part.starts_with('{') && !text.is_empty()) => {}
                _ => return false,
            }
        }
    }

    /// The `code`s of its problems with this status.
    pub(crate) fn codes(&self, status: u16) -> Vec<&str> {
        let examples = &self.document["responses"][status.to_string()]["content"][PROBLEM]["examples"];
        examples.as_object().into_iter().flatten().map(|(code, _)| code.as_str()).collect()
    }
}
