//! Resources that need no fixture: a `POST` of what the document describes makes one.
//!
//! Owns which they are, the text by which one is known again, and making it. Refuses operators' resources, and those below the
//! id of another one: nothing in the document tells how to come to such a path.

use crate::{Fixture, Made, Making, Operation, Tenant, body, contract::Contract, reference::fill, secrets};

/// A resource that is made by one `POST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deduced {
    path: String,
    /// The member of its body that is a text of its own each time, and is shown wherever one is shown.
    mark: Option<String>,
}

impl Deduced {
    /// All that an application has.
    pub(crate) fn all(contract: &Contract) -> impl Iterator<Item = Self> {
        let makers = contract.operations().iter().filter(|operation| {
            operation.method == "POST"
                && operation.takes_body()
                && operation.is_for_tenants()
                && !operation.path.contains('{')
                && contract.answer_of(operation, "201")["properties"]["id"].is_object()
        });
        makers.map(|maker| Self { path: maker.path.clone(), mark: mark_of(contract, maker) })
    }

    /// Makes one, while what has the paths `making` is being made, which needs it.
    pub(crate) fn make_for<'a>(&'a self, tenant: &'a Tenant<'a>, making: &[&'a str]) -> Making<'a> {
        let making: Vec<&str> = making.iter().copied().chain([self.path.as_str()]).collect();
        Box::pin(async move {
            let app = tenant.app;
            let mut operations = app.operations().iter();
            let maker = operations.find(|one| one.method == "POST" && one.path == self.path);
            let maker = maker.unwrap_or_else(|| panic!("POST {} is served no more", self.path));
            let body = fill(tenant, maker, app.body(maker), making).await;
            let made = tenant.owner.caller.post(&self.path, &body).await;
            assert!(
                made.status == 201,
                "POST {} refuses what was made from the document: {}\nfor {body}: write an example, bounds, or a Fixture \
                 (crates/testkit/README.md)",
                self.path,
                made.show()
            );
            let id = made.at("/id");
            let mark = self.mark.as_deref().and_then(|member| body[member].as_str());
            Made { mark: mark.unwrap_or(&id).to_owned(), id }
        })
    }
}

impl Fixture for Deduced {
    fn path(&self) -> &str {
        &self.path
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        self.make_for(tenant, &[])
    }
}

/// The first member of a maker's body that takes any text and is in every description of what was made.
fn mark_of(contract: &Contract, maker: &Operation) -> Option<String> {
    let of_one = format!("{}/{{id}}", maker.path);
    let mut shown = vec![contract.answer_of(maker, "201")];
    for reader in contract.operations().iter().filter(|operation| operation.is_read()) {
        let answer = contract.answer_of(reader, "200");
        if reader.path == of_one {
            shown.push(answer);
        } else if reader.path == maker.path && answer["properties"]["data"].is_object() {
            shown.push(contract.row_of(reader));
        }
    }
    let is_shown = |name: &str| shown.iter().all(|schema| schema["properties"][name].is_object());
    let leaves = body::leaves(contract.document(), maker.body_schema());
    let mut texts = leaves.into_iter().filter(|leaf| body::is_free_text(leaf.schema));
    texts.find_map(|leaf| {
        let name = leaf.pointer.strip_prefix('/')?;
        (is_shown(name) && !secrets::SECRETS.contains(&name)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A document with one resource, whose body and answer have these members.
    fn document(path: &str, status: &str, body: &Value, answer: &Value) -> Contract {
        let of = |properties: &Value| json!({ "content": { "application/json": { "schema": { "properties": properties } } } });
        let page =
            of(&json!({ "data": { "type": "array", "items": { "properties": answer } }, "next_cursor": {} }));
        Contract::of(json!({ "paths": { path: {
            "post": {
                "operationId": "make",
                "x-permission": ["write:things"],
                "requestBody": of(body),
                "responses": { status: of(answer) },
            },
            "get": { "operationId": "list", "x-permission": ["read:things"], "responses": { "200": page } },
        } } }))
    }

    #[test]
    fn what_a_post_makes_is_deduced_with_the_first_text_that_is_shown() {
        let text = json!({ "type": "string" });
        let body = json!({ "code": { "type": "string", "maxLength": 3 }, "hidden": text, "name": text, "word": text });
        let shown = json!({ "id": text, "code": text, "name": text, "word": text });
        let of = |path: &str, status: &str, answer: &Value| {
            Deduced::all(&document(path, status, &body, answer)).collect::<Vec<_>>()
        };
        let path = "/v1/things".to_owned();
        assert_eq!(of(&path, "201", &shown), [Deduced { path: path.clone(), mark: Some("name".to_owned()) }]);
        let bare = json!({ "id": text });
        assert_eq!(of(&path, "201", &bare), [Deduced { path: path.clone(), mark: None }]);
        assert_eq!(of(&path, "202", &shown), []);
        assert_eq!(of(&path, "201", &json!({ "name": text })), []);
        assert_eq!(of("/v1/others/{id}/things", "201", &shown), []);
    }
}
