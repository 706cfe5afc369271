//! The OpenAPI document itself: what it says can be so.

use serde_json::Value;

use crate::support::{System, schema};

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

#[tokio::test]
async fn what_stands_as_an_example_a_default_or_a_choice_fits() {
    let system = System::shared().await;
    let document = system.contract.document();
    let mut found = Vec::new();
    schemas(document, "", &mut found);
    let mut looked_at = 0;
    for (at, schema) in &found {
        let values =
            [&schema["example"], &schema["default"]].into_iter().filter(|value| !value.is_null()).cloned();
        for value in values.chain(choices(schema)) {
            // The root's members are all described, unlike those of a part.
            let wrong = schema::check(document, schema, &value, "");
            assert_eq!(wrong, Vec::<String>::new(), "{at}: {schema}");
            looked_at += 1;
        }
    }
    assert!(found.len() > 200 && looked_at > 60, "{} schemas, {looked_at} values", found.len());
    let parameters =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    for parameter in parameters.filter_map(|operation| operation["parameters"].as_array()).flatten() {
        let example = &parameter["example"];
        // The text of a query is a number where a number is wanted.
        let wrong = if example.is_null() {
            vec![]
        } else {
            schema::check(document, &parameter["schema"], example, "")
        };
        assert_eq!(wrong, Vec::<String>::new(), "{parameter}");
    }
}

#[tokio::test]
async fn every_list_says_what_its_cursor_promises_and_links_its_pages() {
    let system = System::shared().await;
    let lists = system.contract.operations().iter().filter(|operation| operation.takes("cursor"));
    let mut seen = 0;
    for list in lists {
        let said = list.parameter("cursor").unwrap()["description"].as_str().unwrap();
        assert!(said.contains("exactly once"), "{}: {said}", list.id);
        let answer = list.response("200");
        assert!(answer["headers"]["Link"].is_object(), "{}", list.id);
        let page = system.contract.resolved(&answer["content"]["application/json"]["schema"]);
        for member in ["data", "next_cursor"] {
            assert!(page["properties"][member].is_object(), "{}: {page}", list.id);
        }
        seen += 1;
    }
    assert!(seen > 6);
    let top = system.contract.document()["info"]["description"].as_str().unwrap();
    assert!(top.contains("**Lists**") && top.contains("ten minutes"));
}
