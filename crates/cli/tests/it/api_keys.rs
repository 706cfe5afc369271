//! Credentials for programs.

use std::time::Duration;

use bulkhead_domain::{Clock, RoleName, SystemClock};
use serde_json::json;

use crate::support::{System, eventually};

#[tokio::test]
async fn from_making_to_revoking() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;

    let body = json!({ "name": "nightly import", "role": "developer" });
    let made = owner.post("/v1/api-keys", &body).await;
    insta::assert_snapshot!(made.show(), @r#"
        201
        location: /v1/api-keys/key_…
        {
          "allowed_addresses": null,
          "created_at": "[time]",
          "created_by": "usr_…",
          "disabled_at": null,
          "expires_at": null,
          "granted_by": "usr_…",
          "hint": "[hint]",
          "id": "key_…",
          "key": "[api key]",
          "last_used_at": null,
          "leaked_at": null,
          "name": "nightly import",
          "overlap_until": null,
          "requests_per_minute": null,
          "revoked_at": null,
          "role": "developer",
          "rotated_at": null,
          "scopes": null
        }
        "#);
    let (path, key) = (made.header("location").to_owned(), made.at("/key"));
    assert!(key.starts_with(&made.at("/hint")));

    let read = owner.get(&path).await;
    insta::assert_snapshot!(read.show(), @r#"
        200
        {
          "allowed_addresses": null,
          "created_at": "[time]",
          "created_by": "usr_…",
          "disabled_at": null,
          "expires_at": null,
          "granted_by": "usr_…",
          "hint": "[hint]",
          "id": "key_…",
          "last_used_at": null,
          "leaked_at": null,
          "name": "nightly import",
          "overlap_until": null,
          "requests_per_minute": null,
          "revoked_at": null,
          "role": "developer",
          "rotated_at": null,
          "scopes": null
        }
        "#);
    let list = owner.get("/v1/api-keys").await;
    insta::assert_snapshot!(list.show(), @r#"
        200
        {
          "data": [
            {
              "allowed_addresses": null,
              "created_at": "[time]",
              "created_by": "usr_…",
              "disabled_at": null,
              "expires_at": null,
              "granted_by": "usr_…",
              "hint": "[hint]",
              "id": "key_…",
              "last_used_at": null,
              "leaked_at": null,
              "name": "nightly import",
              "overlap_until": null,
              "requests_per_minute": null,
              "revoked_at": null,
              "role": "developer",
              "rotated_at": null,
              "scopes": null
            }
          ],
          "next_cursor": null
        }
        "#);
    let secret = key.rsplit('_').next().unwrap();
    assert!(!read.body.contains(secret) && !list.body.contains(secret));

    // It is let in by either header.
    let program = system.anonymous().with_key(&key);
    assert_eq!(program.get("/v1/me").await.expect(200).at("/subject"), made.at("/id"));
    let bearer = system.anonymous().with_token(&key);
    assert_eq!(bearer.get("/v1/me").await.expect(200).at("/subject"), made.at("/id"));

    insta::assert_snapshot!(owner.delete(&path).await.show(), @"204");
    owner.delete(&path).await.expect(204);
    assert_ne!(owner.get(&path).await.expect(200).at("/revoked_at"), "null");
    let told = format!(
        "SELECT count(*) FROM {}.audit_log WHERE action = 'delete_api_key' AND target = '{}'",
        tenant.schema(),
        made.at("/id")
    );
    assert_eq!(system.sql(&told), "1", "what was revoked already is no entry");
    let gone = eventually(async || program.get("/v1/me").await, |answer| answer.status != 200).await;
    insta::assert_snapshot!(gone.show(), @r#"
    401
    content-type: application/problem+json
    www-authenticate: Bearer error="invalid_token", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"
    {
      "code": "invalid-credentials",
      "detail": "The credential is not valid, has expired or was revoked.",
      "request_id": "req_…",
      "status": 401,
      "title": "Unauthorized",
      "type": "urn:bulkhead:problem:invalid-credentials"
    }
    "#);
    bearer.get("/v1/me").await.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn a_key_that_nobody_has_is_not_found() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let path = "/v1/api-keys/key_01jd3e2x6m7k9v4q8t5b2n0c1c";
    insta::assert_snapshot!(tenant.owner.caller.get(path).await.show(), @r#"
    404
    content-type: application/problem+json
    {
      "code": "not-found",
      "detail": "There is no such resource.",
      "request_id": "req_…",
      "status": 404,
      "title": "Not Found",
      "type": "urn:bulkhead:problem:not-found"
    }
    "#);
    tenant.owner.caller.delete(path).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_key_ends_when_it_was_said_to() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let end = SystemClock.now() + Duration::from_millis(1500);
    let body = json!({ "name": "for a moment", "role": "read_only", "expires_at": end });
    let key = owner.post("/v1/api-keys", &body).await.expect(201).at("/key");
    let program = system.anonymous().with_key(&key);
    let gone = eventually(async || program.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    assert!(SystemClock.now() >= end);
}

#[tokio::test]
async fn fields_that_do_not_hold_are_named_all_at_once() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let body = json!({ "name": "tab\t", "role": "root", "expires_at": "2001-02-03T04:05:06Z" });
    insta::assert_snapshot!(owner.post("/v1/api-keys", &body).await.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "validation-failed",
      "detail": "Some fields hold values that are not allowed.",
      "errors": [
        {
          "detail": "must not be empty, nor begin or end with a blank",
          "pointer": "/name"
        },
        {
          "detail": "must be owner, admin, developer or read_only, or another one that /v1/roles lists",
          "pointer": "/role"
        },
        {
          "detail": "must be in the future, before the year 10000",
          "pointer": "/expires_at"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:validation-failed"
    }
    "#);
    let endless = json!({ "name": "a", "role": "admin", "expires_at": "+10000-01-01T00:00:00Z" });
    owner.post("/v1/api-keys", &endless).await.refused(422, "invalid-body");
    let untimely = json!({ "name": "a", "role": "admin", "expires_at": "tomorrow" });
    owner.post("/v1/api-keys", &untimely).await.refused(422, "invalid-body");
    assert_eq!(tenant.count("api_keys"), 0);
}

#[tokio::test]
async fn nobody_makes_or_revokes_a_key_beyond_their_own_role() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owners = tenant.key(RoleName::OWNER).await;
    let developer = tenant.person(RoleName::DEVELOPER).await.caller;
    let body = json!({ "name": "a", "role": "admin" });
    insta::assert_snapshot!(developer.post("/v1/api-keys", &body).await.show(), @r#"
    403
    content-type: application/problem+json
    {
      "code": "role-not-grantable",
      "detail": "Your role may not grant, remove or change the role admin, as it does not hold write:users itself.",
      "request_id": "req_…",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:bulkhead:problem:role-not-grantable"
    }
    "#);
    developer.delete(&format!("/v1/api-keys/{}", owners.id)).await.refused(403, "role-not-grantable");
    owners.caller.get("/v1/users").await.expect(200);
    // A key makes keys as a person does, and no stronger ones.
    let program = tenant.key(RoleName::DEVELOPER).await.caller;
    program.post("/v1/api-keys", &json!({ "name": "b", "role": "developer" })).await.expect(201);
    program.post("/v1/api-keys", &body).await.refused(403, "role-not-grantable");
    assert_eq!(tenant.count("api_keys"), 3);
}
