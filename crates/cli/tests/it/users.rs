//! A tenant's people.

use bulkhead_domain::RoleName;
use serde_json::json;

use crate::support::{System, eventually};

#[tokio::test]
async fn from_arrival_to_departure() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;

    let body = json!({ "email": "Grace@Example.COM", "password": "correct horse", "role": "developer" });
    let created = owner.post("/v1/users", &body).await;
    insta::assert_snapshot!(created.show(), @r#"
    201
    location: /v1/users/usr_…
    etag: "v1"
    {
      "created_at": "[time]",
      "email": "grace@example.com",
      "id": "usr_…",
      "role": "developer",
      "updated_at": "[time]",
      "version": 1
    }
    "#);
    let path = created.header("location").to_owned();
    let read = owner.get(&path).await;
    assert_eq!((read.json(), read.header("etag")), (created.json(), created.header("etag")));

    let grace = tenant.log_in("grace@example.com", "correct horse").await;
    assert_eq!(grace.id, created.at("/id"));

    let changed = owner.patch(&path, &json!({ "role": "admin" })).header("if-match", "\"v1\"").await;
    insta::assert_snapshot!(changed.show(), @r#"
    200
    etag: "v2"
    {
      "created_at": "[time]",
      "email": "grace@example.com",
      "id": "usr_…",
      "role": "admin",
      "updated_at": "[time]",
      "version": 2
    }
    "#);
    insta::assert_snapshot!(owner.get("/v1/users").await.show(), @r#"
    200
    {
      "data": [
        {
          "created_at": "[time]",
          "email": "owner@acme.example",
          "id": "usr_…",
          "role": "owner",
          "updated_at": "[time]",
          "version": 1
        },
        {
          "created_at": "[time]",
          "email": "grace@example.com",
          "id": "usr_…",
          "role": "admin",
          "updated_at": "[time]",
          "version": 2
        }
      ],
      "next_cursor": null
    }
    "#);
    insta::assert_snapshot!(owner.delete(&path).header("if-match", "\"v2\"").await.show(), @"204");
    insta::assert_snapshot!(owner.get(&path).await.show(), @r#"
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
    owner.patch(&path, &json!({ "role": "admin" })).await.refused(404, "not-found");
    owner.delete(&path).await.refused(404, "not-found");
}

#[tokio::test]
async fn an_address_is_taken_however_it_is_written() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::READ_ONLY).await;
    let body =
        json!({ "email": person.email.to_uppercase(), "password": "correct horse", "role": "read_only" });
    let taken = tenant.owner.caller.post("/v1/users", &body).await;
    insta::assert_snapshot!(taken.show(), @r#"
    409
    content-type: application/problem+json
    {
      "code": "already-taken",
      "detail": "This e-mail address is already taken.",
      "request_id": "req_…",
      "status": 409,
      "title": "Conflict",
      "type": "urn:bulkhead:problem:already-taken"
    }
    "#);
    // In another tenant the same address is another user.
    let other = system.tenant().await;
    other.owner.caller.post("/v1/users", &body).await.expect(201);
}

#[tokio::test]
async fn fields_that_do_not_hold_are_named_all_at_once() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let body = json!({ "email": "nobody", "password": "short", "role": "king" });
    insta::assert_snapshot!(owner.post("/v1/users", &body).await.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "validation-failed",
      "detail": "Some fields hold values that are not allowed.",
      "errors": [
        {
          "detail": "must be an e-mail address: a name, an @ and a domain, like grace@example.com",
          "pointer": "/email"
        },
        {
          "detail": "must be at least 8 characters long",
          "pointer": "/password"
        },
        {
          "detail": "must be owner, admin, developer or read_only, or another one that /v1/roles lists",
          "pointer": "/role"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:validation-failed"
    }
    "#);
    let path = format!("/v1/users/{}", tenant.owner.id);
    insta::assert_snapshot!(owner.patch(&path, &json!({ "role": "Owner" })).await.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "validation-failed",
      "detail": "Some fields hold values that are not allowed.",
      "errors": [
        {
          "detail": "must be owner, admin, developer or read_only, or another one that /v1/roles lists",
          "pointer": "/role"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:validation-failed"
    }
    "#);
    for long in ["p".repeat(257), "ä".repeat(257)] {
        let long = json!({ "email": "a@example.com", "password": long, "role": "admin" });
        let refused = owner.post("/v1/users", &long).await.refused(422, "validation-failed");
        assert_eq!(refused.at("/errors/0/detail"), "must be at most 256 characters long");
    }
    assert_eq!(tenant.count("users"), 1);
    // Characters are counted, as the document says, and not bytes.
    let longest = "ä".repeat(256);
    let body = json!({ "email": "a@example.com", "password": longest, "role": "admin" });
    owner.post("/v1/users", &body).await.expect(201);
    tenant.log_in("a@example.com", &longest).await;
}

#[tokio::test]
async fn nobody_grants_or_takes_a_role_beyond_their_own() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let admin = tenant.person(RoleName::ADMIN).await.caller;
    let owner_path = format!("/v1/users/{}", tenant.owner.id);

    let body = json!({ "email": "a@example.com", "password": "correct horse", "role": "owner" });
    insta::assert_snapshot!(admin.post("/v1/users", &body).await.show(), @r#"
    403
    content-type: application/problem+json
    {
      "code": "role-not-grantable",
      "detail": "Your role may not grant, remove or change the role owner, as it does not hold write:owners itself.",
      "request_id": "req_…",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:bulkhead:problem:role-not-grantable"
    }
    "#);
    admin.patch(&owner_path, &json!({ "role": "read_only" })).await.refused(403, "role-not-grantable");
    admin.delete(&owner_path).await.refused(403, "role-not-grantable");
    let developer = tenant.person(RoleName::DEVELOPER).await;
    let path = format!("/v1/users/{}", developer.id);
    admin.patch(&path, &json!({ "role": "owner" })).await.refused(403, "role-not-grantable");
    assert_eq!(admin.get(&path).await.at("/role"), "developer");
    admin.patch(&path, &json!({ "role": "admin" })).await.expect(200);
    assert_eq!(tenant.count("users"), 3);
}

#[tokio::test]
async fn a_tenant_keeps_an_owner() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let path = format!("/v1/users/{}", tenant.owner.id);
    insta::assert_snapshot!(owner.patch(&path, &json!({ "role": "admin" })).await.show(), @r#"
    409
    content-type: application/problem+json
    {
      "code": "last-owner",
      "detail": "A tenant keeps at least one owner. Make somebody else an owner first.",
      "request_id": "req_…",
      "status": 409,
      "title": "Conflict",
      "type": "urn:bulkhead:problem:last-owner"
    }
    "#);
    owner.delete(&path).await.refused(409, "last-owner");
    // Staying one is no change.
    owner.patch(&path, &json!({ "role": "owner" })).await.expect(200);

    let second = tenant.person(RoleName::OWNER).await;
    second.caller.delete(&path).await.expect(204);
    let path = format!("/v1/users/{}", second.id);
    second.caller.delete(&path).await.refused(409, "last-owner");
}

#[tokio::test]
async fn tokens_of_an_old_role_or_a_removed_person_stop_working_within_seconds() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (changed, removed) = (tenant.person(RoleName::ADMIN).await, tenant.person(RoleName::ADMIN).await);
    let owner = &tenant.owner.caller;
    owner.patch(&format!("/v1/users/{}", changed.id), &json!({ "role": "read_only" })).await.expect(200);
    owner.delete(&format!("/v1/users/{}", removed.id)).await.expect(204);

    for person in [&changed, &removed] {
        let gone =
            eventually(async || person.caller.get("/v1/users").await, |answer| answer.status != 200).await;
        gone.refused(401, "invalid-credentials");
    }
    let again = tenant.log_in(&changed.email, &changed.password).await;
    assert_eq!(again.caller.get("/v1/me").await.at("/role"), "read_only");
    again.caller.get("/v1/users").await.refused(403, "insufficient-permission");
    let refresh = json!({ "refresh_token": removed.refresh_token });
    system.anonymous().post("/v1/auth/refresh", &refresh).await.refused(401, "invalid-credentials");
    // No other user's token was touched.
    owner.get("/v1/users").await.expect(200);
}
