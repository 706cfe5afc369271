//! Null, in the place of every field of every body.

use serde_json::Value;

use super::aim::{Aim, query};
use crate::{App, Operation};

/// Every property of a body's schema: the way to it, and whether the document says that it may be null.
fn properties(app: &App, schema: &Value, way: &[String]) -> Vec<(Vec<String>, bool)> {
    let schema = app.contract.resolved(schema);
    let mut found = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let way: Vec<String> = way.iter().chain([name]).cloned().collect();
        let resolved = app.contract.resolved(property);
        let is_null = |schema: &Value| schema["type"] == "null";
        let types = resolved["type"].as_array().into_iter().flatten().any(|kind| kind == "null");
        let alternatives = ["oneOf", "anyOf"].iter().filter_map(|word| resolved[word].as_array()).flatten();
        found.push((way.clone(), types || alternatives.into_iter().any(is_null)));
        found.extend(properties(app, resolved, &way));
    }
    found
}

/// The body with null at the end of the way.
fn with_null(mut body: Value, way: &[String]) -> Value {
    *way.iter().fold(&mut body, |inside, name| &mut inside[name]) = Value::Null;
    body
}

/// Null, in the place of every field of every body, is refused by the field's name, unless the document says that the field
/// may be null; then it is taken.
pub async fn null_is_refused_by_name_where_the_document_does_not_allow_it(app: &App) {
    let aim = Aim::take(app).await;
    let mut taken = Vec::new();
    for operation in app.contract.those(Operation::takes_body) {
        let path = aim.path(operation) + &query(app, operation, "");
        let properties = properties(app, operation.body_schema(), &[]);
        assert!(!properties.is_empty(), "the document says nothing of what is in {}", operation.shown());
        for (way, may_be_null) in properties {
            let pointer = format!("/{}", way.join("/"));
            if may_be_null {
                taken.push((operation, path.clone(), way));
                continue;
            }
            let body = with_null(app.body(operation), &way);
            let answer = aim.call(operation, &path).json(&body).await;
            assert_eq!(answer.status, 422, "null as {pointer} of {}: {}", operation.shown(), answer.show());
            assert_eq!(answer.at("/errors/0/pointer"), pointer, "{}: {}", operation.shown(), answer.show());
        }
    }
    // Nothing has come of the refused ones.
    aim.assert_missed();
    for (operation, path, way) in taken {
        let body = with_null(aim.tenant.body(operation).await, &way);
        let answer = aim.call(operation, &path).json(&body).await;
        assert!(answer.status < 300, "{} {body}: {}", operation.shown(), answer.show());
    }
}
