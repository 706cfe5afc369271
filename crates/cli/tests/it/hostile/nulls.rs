//! What a client is told whose body does not fit.

use serde_json::json;

use crate::support::{MakesResources, System};

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
