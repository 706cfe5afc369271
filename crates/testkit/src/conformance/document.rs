//! The OpenAPI document: what it says can be so, and is so for every operation.

use serde_json::Value;

use super::aim::query;
use crate::{App, Operation, contract::Contract, fixture::Fixtures, schema};

/// Each operation that wants a credential lies below the path of a resource that the kit can make: else it would be tested by
/// nothing.
pub async fn every_operation_has_a_fixture(app: &App) {
    let missing = without_fixture(&app.contract, &app.fixtures);
    assert!(
        missing.is_empty(),
        "no POST is described that makes what these are about: give App::start a Fixture with the path of each \
         (crates/testkit/README.md): {missing:#?}"
    );
}

fn without_fixture(contract: &Contract, fixtures: &Fixtures) -> Vec<String> {
    let closed = contract.those(|operation| !operation.is_public());
    closed.filter(|operation| fixtures.find(operation).is_none()).map(Operation::shown).collect()
}

/// Each operation, asked as it wants to be asked, does what it is there for: it answers with a success that the document
/// describes, or with 409 where what was made is in another state. This also proves that the other tests' refusals are about
/// what they have spoilt.
pub async fn every_operation_answers_as_documented(app: &App) {
    let tenant = app.tenant().await;
    let operator = app.operator().await;
    let mut operations: Vec<_> = app.contract.those(|_| true).collect();
    // What operators may do to a tenant, and what removes something, comes last.
    operations.sort_by_key(|operation| (operation.is_for_operators(), operation.method == "DELETE"));
    for operation in operations {
        let caller = match operation {
            public if public.is_public() => app.anonymous(),
            theirs if theirs.is_for_operators() => operator.clone(),
            _ => tenant.owner.caller.clone(),
        };
        let made = match app.fixtures.find(operation) {
            Some(fixture) if operation.takes_id() => fixture.make(&tenant).await.id,
            _ => String::new(),
        };
        let path = operation.path_of(&made) + &query(app, operation, "");
        let call = caller.call(&operation.method, &path);
        let answer =
            if operation.takes_body() { call.json(&tenant.body(operation).await).await } else { call.await };
        // The log-ins that the document has as examples belong to no account, and its tokens are none.
        let is_right = answer.status < 300
            || answer.status == 409
            || operation.is_public() && operation.takes_body() && [401, 422].contains(&answer.status)
            // The kit has no identity provider at which somebody could log in.
            || operation.is_public() && operation.takes_id() && [401, 404].contains(&answer.status);
        assert!(is_right, "{}: {}", operation.shown(), answer.show());
    }
}

/// Every schema in the document, with where it is.
fn schemas(value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let inside = format!("{at}/{name}");
                let is_one = member.is_object()
                    && (name == "schema" || at.ends_with("/schemas") || at.ends_with("/properties"));
                if is_one {
                    found.push((inside.clone(), member.clone()));
                }
                // What stands as an example is no part of the description.
                if !["example", "examples", "default"].contains(&name.as_str()) {
                    schemas(member, &inside, found);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let inside = format!("{at}/{index}");
                if ["/allOf", "/oneOf", "/anyOf"].iter().any(|word| at.ends_with(word)) {
                    found.push((inside.clone(), item.clone()));
                }
                schemas(item, &inside, found);
            }
        }
        _ => {}
    }
}

/// The choices that a schema gives anywhere inside, where it is one value.
fn choices(schema: &Value) -> Vec<Value> {
    let parts = ["allOf", "oneOf", "anyOf"].iter().filter_map(|word| schema[word].as_array()).flatten();
    let own = schema["enum"].as_array().into_iter().flatten().cloned();
    own.chain(parts.flat_map(choices)).collect()
}

/// What stands in the document as an example, a default or a choice fits the schema that it stands in.
pub async fn what_stands_as_an_example_fits(app: &App) {
    let wrong = unfit(app.contract.document());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The examples, defaults and choices that do not fit. Fails when there is none at all.
fn unfit(document: &Value) -> Vec<String> {
    let (mut found, mut wrong, mut looked_at) = (Vec::new(), Vec::new(), 0);
    schemas(document, "", &mut found);
    for (at, schema) in &found {
        let values =
            [&schema["example"], &schema["default"]].into_iter().filter(|value| !value.is_null()).cloned();
        for value in values.chain(choices(schema)) {
            // The root's members are all described, unlike those of a part.
            let of_value = schema::check(document, schema, &value, "");
            wrong.extend(of_value.into_iter().map(|text| format!("{at}: {text}")));
            looked_at += 1;
        }
    }
    for operation in
        document["paths"].as_object().into_iter().flatten().filter_map(|(_, path)| path.as_object()).flatten()
    {
        for parameter in operation.1["parameters"].as_array().into_iter().flatten() {
            let example = &parameter["example"];
            if !example.is_null() {
                // The text of a query is a number where a number is wanted.
                let of_value = schema::check(document, &parameter["schema"], example, "");
                wrong.extend(of_value.into_iter().map(|text| format!("{parameter}: {text}")));
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 0, "the document has no example, default or choice");
    wrong
}

/// Each list promises in the document what a cursor promises, links its pages, and has their shape.
pub async fn every_list_says_what_its_cursor_promises(app: &App) {
    let wrong = unpromising(&app.contract);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is missing in the description of lists. Fails when there is none.
fn unpromising(contract: &Contract) -> Vec<String> {
    let mut wrong = Vec::new();
    let top = contract.document()["info"]["description"].as_str().unwrap_or_default();
    if !(top.contains("**Lists**") && top.contains("ten minutes")) {
        wrong.push("the description of the whole does not say what lists promise".to_owned());
    }
    for list in contract.those(|operation| operation.takes("cursor")) {
        let said = list.parameter("cursor").and_then(|parameter| parameter["description"].as_str());
        if !said.is_some_and(|said| said.contains("exactly once")) {
            wrong.push(format!("{}: its cursor promises nothing", list.shown()));
        }
        let answer = list.response("200");
        if !answer["headers"]["Link"].is_object() {
            wrong.push(format!("{} has no Link", list.shown()));
        }
        let page = contract.resolved(&answer["content"]["application/json"]["schema"]);
        for member in ["data", "next_cursor"] {
            if !page["properties"][member].is_object() {
                wrong.push(format!("{} has no {member}", list.shown()));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Fixture, Making, Tenant};

    #[test]
    fn an_example_that_does_not_fit_is_found_wherever_it_stands() {
        let document = json!({
            "paths": { "/v1/things": { "get": { "parameters": [
                { "name": "limit", "schema": { "type": "integer" }, "example": 10 },
            ] } } },
            "components": { "schemas": {
                "Thing": { "type": "object", "properties": { "size": { "type": "integer", "example": 3 } } },
                "Colour": { "type": "string", "enum": ["red", "blue"], "default": "red" },
            } },
        });
        assert_eq!(unfit(&document), Vec::<String>::new());
        for (pointer, bad) in [
            ("/paths/~1v1~1things/get/parameters/0/example", json!("ten")),
            ("/components/schemas/Thing/properties/size/example", json!("3")),
            ("/components/schemas/Colour/default", json!("green")),
            ("/components/schemas/Colour/enum/1", json!(7)),
        ] {
            let mut document = document.clone();
            *document.pointer_mut(pointer).unwrap() = bad;
            assert_eq!(unfit(&document).len(), 1, "{pointer}");
        }
    }

    fn of_things() -> Value {
        let page =
            json!({ "type": "object", "properties": { "data": { "type": "array" }, "next_cursor": {} } });
        json!({
            "info": { "description": "**Lists** go back ten minutes." },
            "paths": { "/v1/things": { "get": {
                "operationId": "list_things",
                "x-permission": ["read:things"],
                "parameters": [{ "name": "cursor", "description": "Each row is shown exactly once." }],
                "responses": { "200": {
                    "headers": { "Link": {} },
                    "content": { "application/json": { "schema": page } },
                } },
            } } },
        })
    }

    #[test]
    fn a_list_that_promises_nothing_is_found() {
        assert_eq!(unpromising(&Contract::of(of_things())), Vec::<String>::new());
        let list = "/paths/~1v1~1things/get";
        for (pointer, bad) in [
            ("/info/description".to_owned(), json!("Things.")),
            (format!("{list}/parameters/0/description"), json!("Where to go on.")),
            (format!("{list}/responses/200/headers"), json!({})),
            (
                format!("{list}/responses/200/content/application~1json/schema/properties"),
                json!({ "data": {} }),
            ),
        ] {
            let mut document = of_things();
            *document.pointer_mut(&pointer).unwrap() = bad;
            assert_eq!(unpromising(&Contract::of(document)).len(), 1, "{pointer}");
        }
    }

    #[test]
    fn an_operation_without_a_fixture_is_named() {
        struct At(&'static str);
        impl Fixture for At {
            fn path(&self) -> &str {
                self.0
            }
            fn make<'a>(&'a self, _: &'a Tenant<'a>) -> Making<'a> {
                unreachable!("nothing is made")
            }
        }
        let contract = Contract::of(of_things());
        let missing =
            |given: &[&'static dyn Fixture]| without_fixture(&contract, &Fixtures::new(&contract, given));
        assert_eq!(missing(&[&At("/v1/things")]), Vec::<String>::new());
        assert_eq!(missing(&[&At("/v1/thing")]), ["list_things (GET /v1/things)"]);
        // What makes them is described.
        let mut document = of_things();
        let schema =
            json!({ "content": { "application/json": { "schema": { "properties": { "id": {} } } } } });
        document["paths"]["/v1/things"]["post"] = json!({
            "operationId": "make_thing",
            "x-permission": ["write:things"],
            "requestBody": schema,
            "responses": { "201": schema },
        });
        let contract = Contract::of(document);
        assert_eq!(without_fixture(&contract, &Fixtures::new(&contract, &[])), Vec::<String>::new());
    }
}
