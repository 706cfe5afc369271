//! Null, in the place of every field of every body.

use serde_json::{Value, json};

use super::{Aim, sound_body};
use crate::support::System;

/// Every property of a body's schema: the way to it, and whether the document says that it may be null.
fn properties(system: &System, schema: &Value, way: &[String]) -> Vec<(Vec<String>, bool)> {
    let schema = system.contract.resolved(schema);
    let mut found = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let way: Vec<String> = way.iter().chain([name]).cloned().collect();
        let resolved = system.contract.resolved(property);
        let is_null = |schema: &Value| schema["type"] == "null";
        let types = resolved["type"].as_array().into_iter().flatten().any(|kind| kind == "null");
        let alternatives = ["oneOf", "anyOf"].iter().filter_map(|word| resolved[word].as_array()).flatten();
        found.push((way.clone(), types || alternatives.into_iter().any(is_null)));
        found.extend(properties(system, resolved, &way));
    }
    found
}

#[tokio::test]
async fn null_is_refused_by_name_where_the_document_does_not_allow_it() {
    let system = System::shared().await;
    let aim = Aim::take(system).await;
    let (mut refused, mut taken) = (0, Vec::new());
    for operation in system.contract.operations().iter().filter(|operation| operation.takes_body()) {
        let path = aim.path(operation);
        let properties = properties(system, operation.body_schema(), &[]);
        assert!(!properties.is_empty(), "{}", operation.id);
        for (way, may_be_null) in properties {
            let pointer = format!("/{}", way.join("/"));
            let mut body = sound_body(operation);
            let (name, parent) = way.split_last().unwrap();
            let parent = parent.iter().fold(&mut body, |inside, name| &mut inside[name]);
            parent[name] = Value::Null;
            if may_be_null {
                taken.push((operation, path.clone(), body));
                continue;
            }
            let answer = aim.call(operation, &path).json(&body).await;
            assert_eq!(answer.status, 422, "{} {pointer}: {}", operation.id, answer.show());
            assert_eq!(answer.at("/errors/0/pointer"), pointer, "{}", answer.show());
            refused += 1;
        }
    }
    assert!(refused > 15, "{refused}");
    // Nothing has come of the refused ones; what may be null is taken.
    aim.assert_missed();
    assert!(!taken.is_empty());
    for (operation, path, body) in taken {
        let answer = aim.call(operation, &path).json(&body).await;
        assert!(answer.status < 300, "{} {body}: {}", operation.id, answer.show());
    }
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_told_which_field_and_how_it_must_look() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let path = format!("/v1/resources/{}", tenant.resource("a thing").await);
    insta::assert_snapshot!(owner.patch(&path, &json!({ "name": null })).await.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "invalid-body",
      "detail": "The request body does not fit: /name must be a string, not null.",
      "errors": [
        {
          "detail": "must be a string, not null",
          "pointer": "/name"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:invalid-body"
    }
    "#);
    let tomorrow = json!({ "name": "a", "role": "developer", "expires_at": "tomorrow" });
    insta::assert_snapshot!(owner.post("/v1/api-keys", &tomorrow).await.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "invalid-body",
      "detail": "The request body does not fit: /expires_at must be a time with its offset from UTC, like [time] or [time] (RFC 3339).",
      "errors": [
        {
          "detail": "must be a time with its offset from UTC, like [time] or [time] (RFC 3339)",
          "pointer": "/expires_at"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:invalid-body"
    }
    "#);
    let nobody = json!({ "name": "a" });
    insta::assert_snapshot!(owner.post("/v1/api-keys", &nobody).await.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "invalid-body",
      "detail": "The request body does not fit: /role must be given.",
      "errors": [
        {
          "detail": "must be given",
          "pointer": "/role"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:invalid-body"
    }
    "#);
    // Kept to the microsecond, or refused.
    let exact = json!({ "name": "a", "role": "developer", "expires_at": "2999-01-01T00:00:00.123456+01:00" });
    let made = owner.post("/v1/api-keys", &exact).await.expect(201);
    assert_eq!(made.at("/expires_at"), "2998-12-31T23:00:00.123456Z");
    let too_exact = json!({ "name": "a", "role": "developer", "expires_at": "2999-01-01T00:00:00.1234567Z" });
    owner.post("/v1/api-keys", &too_exact).await.refused(422, "invalid-body");
    assert_eq!(owner.get(&path).await.at("/version"), "1");
}
