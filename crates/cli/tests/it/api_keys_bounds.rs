//! What bounds a key beside its role: scopes, networks, a limit, and an end.

use std::time::Duration;

use bulkhead_domain::{Clock, RoleName, SystemClock};
use serde_json::{Value, json};

use crate::support::{Caller, System, eventually};

async fn make<'a>(system: &'a System, by: &Caller<'_>, body: &Value) -> (String, Caller<'a>) {
    let made = by.post("/v1/api-keys", body).await.expect(201);
    (made.at("/id"), system.anonymous().with_key(&made.at("/key")))
}

#[tokio::test]
async fn what_does_not_bound_a_key_is_refused_and_named() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let body = json!({
        "name": "a", "role": "read_only",
        "scopes": ["read:usage", "read:usage", "read", "fly:planes", "read:tenants"],
        "allowed_addresses": ["10.0.0.0/8", "10.0.0.1/8", "::ffff:10.0.0.0/104", "everywhere", "10.0.0.0/8"],
        "requests_per_minute": 0,
    });
    insta::assert_snapshot!(owner.post("/v1/api-keys", &body).await.show(), @r#"
        422
        content-type: application/problem+json
        {
          "code": "validation-failed",
          "detail": "Some fields hold values that are not allowed.",
          "errors": [
            {
              "detail": "is in the list already",
              "pointer": "/scopes/1"
            },
            {
              "detail": "must be action:resource like read:users, in lower-case letters, digits and underscores, at most 64 bytes; * may stand for all of either, as in read:*, *:users and *:*",
              "pointer": "/scopes/2"
            },
            {
              "detail": "must be a permission that exists, one of those that the role owner holds",
              "pointer": "/scopes/3"
            },
            {
              "detail": "is a permission of operators, which no role of a tenant holds",
              "pointer": "/scopes/4"
            },
            {
              "detail": "must have no bits behind its prefix: 203.0.113.0/24, not 203.0.113.7/24",
              "pointer": "/allowed_addresses/1"
            },
            {
              "detail": "must be written as IPv4, like 203.0.113.0/24",
              "pointer": "/allowed_addresses/2"
            },
            {
              "detail": "must be a network like 203.0.113.0/24 or 2001:db8::/32, or an address",
              "pointer": "/allowed_addresses/3"
            },
            {
              "detail": "is in the list already",
              "pointer": "/allowed_addresses/4"
            },
            {
              "detail": "must be between 1 and 1000000",
              "pointer": "/requests_per_minute"
            }
          ],
          "request_id": "req_…",
          "status": 422,
          "title": "Unprocessable Entity",
          "type": "urn:bulkhead:problem:validation-failed"
        }
        "#);
    // Permissions that exist, and that the role does not hold.
    let idle =
        json!({ "name": "a", "role": "read_only", "scopes": ["read:usage", "write:users", "*:owners"] });
    insta::assert_snapshot!(owner.post("/v1/api-keys", &idle).await.show(), @r#"
        422
        content-type: application/problem+json
        {
          "code": "validation-failed",
          "detail": "Some fields hold values that are not allowed.",
          "errors": [
            {
              "detail": "stands for nothing that the role holds: scopes only narrow it",
              "pointer": "/scopes/1"
            },
            {
              "detail": "stands for nothing that the role holds: scopes only narrow it",
              "pointer": "/scopes/2"
            }
          ],
          "request_id": "req_…",
          "status": 422,
          "title": "Unprocessable Entity",
          "type": "urn:bulkhead:problem:validation-failed"
        }
        "#);
    for empty in [json!({ "scopes": [] }), json!({ "allowed_addresses": [] })] {
        let mut body = json!({ "name": "a", "role": "read_only" });
        body.as_object_mut().unwrap().extend(empty.as_object().unwrap().clone());
        owner.post("/v1/api-keys", &body).await.refused(422, "validation-failed");
    }
    let many: Vec<String> = (0..21).map(|number| format!("10.0.{number}.0/24")).collect();
    let many = json!({ "name": "a", "role": "read_only", "allowed_addresses": many });
    owner.post("/v1/api-keys", &many).await.refused(422, "validation-failed");
    assert_eq!(tenant.count("api_keys"), 0);
}

#[tokio::test]
async fn scopes_narrow_the_role() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let body = json!({ "name": "a", "role": "developer", "scopes": ["read:usage", "*:api_keys"] });
    let (_, key) = make(system, &tenant.owner.caller, &body).await;
    let me = key.get("/v1/me").await.expect(200).json();
    assert_eq!(me["permissions"], json!(["read:api_keys", "write:api_keys", "read:usage"]));
    key.get("/v1/usage").await.expect(200);
    key.get("/v1/users").await.refused(403, "insufficient-permission");
}

#[tokio::test]
async fn from_elsewhere_a_key_is_refused_like_any_that_is_no_good() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let body =
        json!({ "name": "a", "role": "developer", "allowed_addresses": ["203.0.113.0/24", "2001:db8::/32"] });
    let (_, key) = make(system, &tenant.owner.caller, &body).await;
    let from = async |address: &str| key.get("/v1/me").header("x-forwarded-for", address).await;
    let nonsense = system.anonymous().with_token("nonsense").get("/v1/me").await;
    for round in 0..2 {
        for inside in ["203.0.113.7", "::ffff:203.0.113.8", "[2001:db8::9]:443"] {
            from(inside).await.expect(200);
        }
        for outside in ["198.51.100.7", "::ffff:198.51.100.7", "2001:db9::1", "unknown", "_203.0.113.7"] {
            let refused = from(outside).await;
            assert_eq!(refused.status, 401, "{round} {outside}");
            assert_eq!(refused.body_without_request_id(), nonsense.body_without_request_id());
            assert_eq!(refused.header("www-authenticate"), nonsense.header("www-authenticate"));
        }
    }
    // What a caller puts in front of what our proxy has seen does not count.
    from("203.0.113.7, 198.51.100.7").await.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn a_key_with_a_limit_of_its_own_is_told_both_and_kept_to_both() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let body = json!({ "name": "a", "role": "developer", "requests_per_minute": 5 });
    let (id, key) = make(system, &tenant.owner.caller, &body).await;
    let first = key.get("/v1/me").await.expect(200);
    let policy = first.header("ratelimit-policy");
    assert!(policy.starts_with("\"tenant\";q=") && policy.ends_with(", \"key\";q=5;w=60"), "{policy}");
    assert!(first.header("ratelimit").contains(", \"key\";r=4;"), "{}", first.header("ratelimit"));
    let mut let_in = 1;
    let refused = loop {
        let answer = key.get("/v1/me").await;
        if answer.status != 200 {
            break answer;
        }
        let_in += 1;
        assert!(let_in < 20, "it is not limited");
    };
    let refused = refused.refused(429, "rate-limited");
    // It costs the tenant nothing.
    assert_eq!(refused.header("ratelimit-policy"), "\"key\";q=5;w=60");
    assert!(let_in <= 7 && !refused.header("retry-after").is_empty(), "{let_in}");
    // The tenant's other callers go on.
    let shown = tenant.owner.caller.get(&format!("/v1/api-keys/{id}")).await.expect(200);
    assert_eq!(shown.at("/requests_per_minute"), "5");
    assert!(shown.header("ratelimit-policy").starts_with("\"tenant\""));
}

#[tokio::test]
async fn a_key_made_by_a_key_is_bounded_as_that_one_at_least() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let end = SystemClock.now() + Duration::from_hours(1);
    let body = json!({
        "name": "a", "role": "developer", "allowed_addresses": ["0.0.0.0/0"], "requests_per_minute": 1000,
        "expires_at": end,
    });
    let (id, key) = make(system, &tenant.owner.caller, &body).await;
    let beyond = json!({
        "name": "b", "role": "developer", "allowed_addresses": ["10.0.0.0/8", "::/0"], "requests_per_minute": 1001,
        "expires_at": end + Duration::from_secs(1),
    });
    insta::assert_snapshot!(key.post("/v1/api-keys", &beyond).await.show(), @r#"
        422
        content-type: application/problem+json
        {
          "code": "validation-failed",
          "detail": "Some fields hold values that are not allowed.",
          "errors": [
            {
              "detail": "must be inside of the networks of the key that makes this one",
              "pointer": "/allowed_addresses/1"
            },
            {
              "detail": "must not be above the limit of the key that makes this one",
              "pointer": "/requests_per_minute"
            },
            {
              "detail": "must not be after the end of the key that makes this one",
              "pointer": "/expires_at"
            }
          ],
          "request_id": "req_…",
          "status": 422,
          "title": "Unprocessable Entity",
          "type": "urn:bulkhead:problem:validation-failed"
        }
        "#);
    let made =
        key.post("/v1/api-keys", &json!({ "name": "b", "role": "developer" })).await.expect(201).json();
    let above = tenant.owner.caller.get(&format!("/v1/api-keys/{id}")).await.expect(200).json();
    for same in ["allowed_addresses", "requests_per_minute", "expires_at"] {
        assert_eq!(made[same], above[same], "{same}");
        assert_ne!(made[same], Value::Null, "{same}");
    }
    assert_eq!((&made["granted_by"], &made["created_by"]), (&json!(id), &json!(id)));
    // Eight in a row are enough.
    let mut last = system.anonymous().with_key(made["key"].as_str().unwrap());
    for _ in 2..8 {
        last = make(system, &last, &json!({ "name": "c", "role": "developer" })).await.1;
    }
    last.post("/v1/api-keys", &json!({ "name": "d", "role": "developer" })).await.refused(409, "wrong-state");
    last.get("/v1/users").await.expect(200);
}

#[tokio::test]
async fn keys_that_nobody_uses_are_found() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let used = tenant.key(RoleName::READ_ONLY).await;
    let (unused, revoked, fresh) = (
        tenant.key(RoleName::READ_ONLY).await,
        tenant.key(RoleName::READ_ONLY).await,
        tenant.key(RoleName::READ_ONLY).await,
    );
    used.caller.get("/v1/me").await.expect(200);
    let path = format!("/v1/api-keys/{}", used.id);
    let noted = async || owner.get(&path).await.expect(200);
    eventually(noted, |key| key.at("/last_used_at") != "null").await;
    owner.delete(&format!("/v1/api-keys/{}", revoked.id)).await.expect(204);
    let schema = tenant.schema();
    system.sql(&format!(
        "UPDATE {schema}.api_keys SET watched_since = now() - interval '91 days' WHERE name = 'a program'"
    ));
    let list = async |query: &str| -> Vec<String> {
        let keys = owner.get(&format!("/v1/api-keys?{query}")).await.expect(200).json();
        keys["data"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut found = list("unused_for_days=90").await;
    found.sort();
    let mut wanted = vec![unused.id.clone(), fresh.id.clone()];
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(list("unused_for_days=92").await, [""; 0]);
    assert_eq!(list("unused_for_days=90&limit=1").await.len(), 1);
    assert_eq!(list(&format!("granted_by={}", tenant.owner.id)).await.len(), 4);
    assert_eq!(list(&format!("granted_by={}", used.id)).await, [""; 0]);
    for bad in
        ["unused_for_days=0", "unused_for_days=3651", "unused_for_days=-1", "granted_by=ten_1", "granted_by="]
    {
        owner.get(&format!("/v1/api-keys?{bad}")).await.expect(400);
    }
}

/// A role that only a disabled key has is in use: the key can be enabled again.
#[tokio::test]
async fn a_role_that_a_disabled_key_has_is_not_removed() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let role = json!({ "name": "clerk", "description": "", "permissions": ["read:users"] });
    owner.post("/v1/roles", &role).await.expect(201);
    let (id, _) = make(system, owner, &json!({ "name": "a", "role": "clerk" })).await;
    owner.post_nothing(&format!("/v1/api-keys/{id}/disable")).await.expect(200);
    owner.delete("/v1/roles/clerk").await.refused(409, "wrong-state");
    owner.delete(&format!("/v1/api-keys/{id}")).await.expect(204);
    owner.delete("/v1/roles/clerk").await.expect(204);
}
