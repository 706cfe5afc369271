//! The platform's customers.

use bulkhead_domain::{RoleName, TenantId};
use serde_json::{Value, json};

use crate::support::{Options, System, create_tenant, eventually, unique};

fn order(slug: &str) -> Value {
    let owner = json!({ "email": "owner@example.com", "password": "correct horse battery staple" });
    json!({ "slug": slug, "name": "Acme Corporation", "plan": "pro", "owner": owner })
}

#[tokio::test]
async fn a_tenant_is_accepted_built_and_in_service() {
    let system = System::shared().await;
    let operator = system.operator().await;
    let slug = format!("acme-{}", unique());
    let accepted = operator.post("/v1/admin/tenants", &order(&slug)).await;
    insta::assert_snapshot!(accepted.show(), @r#"
    202
    location: /v1/operations/job_…
    {
      "done": false,
      "error": null,
      "id": "job_…",
      "progress": 0,
      "result": {
        "tenant": "ten_…"
      },
      "state": "queued"
    }
    "#);
    assert_eq!(accepted.header("location"), format!("/v1/operations/{}", accepted.at("/id")));
    let path = format!("/v1/admin/tenants/{}", accepted.at("/result/tenant"));
    assert!(
        ["provisioning", "active"].contains(&operator.get(&path).await.expect(200).at("/status").as_str())
    );

    let follow = async || operator.get(accepted.header("location")).await.expect(200);
    let done = eventually(follow, |answer| answer.at("/done") == "true").await;
    insta::assert_snapshot!(done.show(), @r#"
    200
    {
      "done": true,
      "error": null,
      "id": "job_…",
      "progress": 100,
      "result": {
        "outcome": "built",
        "tenant": "ten_…"
      },
      "state": "succeeded"
    }
    "#);
    insta::assert_snapshot!(operator.get(&path).await.show(), @r#"
    200
    etag: "v2"
    {
      "created_at": "[time]",
      "deleted_at": null,
      "id": "ten_…",
      "name": "Acme Corporation",
      "plan": "pro",
      "purge_after": null,
      "purged_at": null,
      "slug": "acme",
      "status": "active",
      "updated_at": "[time]",
      "version": 2
    }
    "#);
    let login = json!({
        "tenant": slug, "email": "owner@example.com", "password": "correct horse battery staple",
    });
    system.anonymous().post("/v1/auth/login", &login).await.expect(200);
}

#[tokio::test]
async fn a_slug_is_taken_once() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let operator = system.operator().await;
    insta::assert_snapshot!(operator.post("/v1/admin/tenants", &order(&tenant.slug)).await.show(), @r#"
    409
    content-type: application/problem+json
    {
      "code": "already-taken",
      "detail": "This slug is already taken.",
      "request_id": "req_…",
      "status": 409,
      "title": "Conflict",
      "type": "urn:bulkhead:problem:already-taken"
    }
    "#);
    assert_eq!(
        system.sql(&format!("SELECT count(*) FROM platform.tenants WHERE slug = '{}'", tenant.slug)),
        "1"
    );
}

#[tokio::test]
async fn fields_that_do_not_hold_are_named_all_at_once() {
    let system = System::shared().await;
    let operator = system.operator().await;
    let owner = json!({ "email": "nobody", "password": "short" });
    let body = json!({ "slug": "x'; DROP SCHEMA platform; --", "name": "", "plan": "gold", "owner": owner });
    insta::assert_snapshot!(operator.post("/v1/admin/tenants", &body).await.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "validation-failed",
      "detail": "Some fields hold values that are not allowed.",
      "errors": [
        {
          "detail": "must be 3 to 40 characters: a lower-case letter, then lower-case letters, digits or hyphens, ending in a letter or digit",
          "pointer": "/slug"
        },
        {
          "detail": "must not be empty, nor begin or end with a blank",
          "pointer": "/name"
        },
        {
          "detail": "must be free, pro or enterprise",
          "pointer": "/plan"
        },
        {
          "detail": "must be an e-mail address: a name, an @ and a domain, like grace@example.com",
          "pointer": "/owner/email"
        },
        {
          "detail": "must be at least 8 characters long",
          "pointer": "/owner/password"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:validation-failed"
    }
    "#);

    let name = format!("refused {}", unique());
    for slug in [
        "",
        "a",
        "ab",
        "-ab",
        "ab-",
        "9abc",
        "Abc",
        "a_b",
        "a b",
        "a.b",
        "a\"b",
        "a'b",
        "a;b",
        "a\u{0}b",
        "äbc",
        "platform\"; --",
        "../../etc",
        &"a".repeat(41),
        // As the row of a purged tenant is named.
        "t-01jd3e2x6m7k9v4q8t5b2n0c1d",
    ] {
        let mut body = order(slug);
        body["name"] = json!(name);
        let refused = operator.post("/v1/admin/tenants", &body).await.refused(422, "validation-failed");
        assert_eq!(refused.at("/errors/0/pointer"), "/slug", "{slug}");
    }
    assert_eq!(system.sql(&format!("SELECT count(*) FROM platform.tenants WHERE name = '{name}'")), "0");
}

/// A plan that was added by SQL, under a name of another form than ours.
#[tokio::test]
async fn a_plan_is_a_row_that_is_bought_and_served_like_the_others() {
    let system = System::start("plans", Options::default()).await;
    let operator = system.operator().await;
    for plan in ["", "gold", "Free", "free ", "a\0b", &"x".repeat(10_000)] {
        let mut body = order(&format!("acme-{}", unique()));
        body["plan"] = json!(plan);
        let refused = operator.post("/v1/admin/tenants", &body).await.refused(422, "validation-failed");
        assert_eq!(refused.at("/errors/0/detail"), "must be free, pro or enterprise", "{plan}");
        assert_eq!(refused.at("/errors/0/pointer"), "/plan", "{plan}");
    }
    system
        .sql("INSERT INTO platform.plans (name, requests_per_minute, burst) VALUES ('Team 2027', 500, 400)");
    let tenant = create_tenant(&system, "Team 2027").await;
    let me = tenant.owner.caller.get("/v1/me").await.expect(200);
    assert_eq!(
        (me.at("/tenant/plan"), me.at("/tenant/requests_per_minute"), me.at("/tenant/burst")),
        ("Team 2027".to_owned(), "500".to_owned(), "400".to_owned())
    );
    tenant.key(RoleName::DEVELOPER).await.caller.get("/v1/me").await.expect(200);
    let path = format!("/v1/admin/tenants/{}", tenant.id);
    for path in [path.as_str(), "/v1/admin/tenants"] {
        let seen = operator.get(path).await.expect(200);
        assert!(seen.body.contains("Team 2027"), "{}", seen.body);
    }
    let change = async |plan: &str| operator.patch(&path, &json!({ "plan": plan })).await;
    let refused = change("Team 2028").await.refused(422, "validation-failed");
    assert_eq!(refused.at("/errors/0/detail"), "must be free, Team 2027, pro or enterprise");
    assert_eq!(change("free").await.expect(200).at("/plan"), "free");
    let keyed =
        || operator.patch(&path, &json!({ "plan": "Team 2027" })).header("idempotency-key", "to-team");
    let first = keyed().await.expect(200);
    assert_eq!(first.at("/plan"), "Team 2027");
    // What was answered is answered again, also when the plan is no more.
    change("free").await.expect(200);
    system.sql("DELETE FROM platform.plans WHERE name = 'Team 2027'");
    let again = keyed().await.expect(200);
    assert_eq!((again.json(), again.header("idempotent-replayed")), (first.json(), "true"));
    change("Team 2027").await.refused(422, "validation-failed");
    assert_eq!(operator.get(&path).await.expect(200).at("/plan"), "free");
}

#[tokio::test]
async fn a_tenant_is_changed_under_its_version() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let operator = system.operator().await;
    let path = format!("/v1/admin/tenants/{}", tenant.id);
    let read = operator.get(&path).await.expect(200);
    let change = json!({ "name": "Acme International", "plan": "free" });
    let changed = operator.patch(&path, &change).header("if-match", read.header("etag")).await;
    insta::assert_snapshot!(changed.show(), @r#"
    200
    etag: "v3"
    {
      "created_at": "[time]",
      "deleted_at": null,
      "id": "ten_…",
      "name": "Acme International",
      "plan": "free",
      "purge_after": null,
      "purged_at": null,
      "slug": "acme",
      "status": "active",
      "updated_at": "[time]",
      "version": 3
    }
    "#);
    let stale = operator.patch(&path, &change).header("if-match", read.header("etag")).await;
    insta::assert_snapshot!(stale.show(), @r#"
    412
    content-type: application/problem+json
    {
      "code": "precondition-failed",
      "detail": "The resource has changed since you read it. Read it again and repeat with its new ETag.",
      "request_id": "req_…",
      "status": 412,
      "title": "Precondition Failed",
      "type": "urn:bulkhead:problem:precondition-failed"
    }
    "#);
    let wrong = operator.patch(&path, &json!({ "name": "x".repeat(201) })).await;
    insta::assert_snapshot!(wrong.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "validation-failed",
      "detail": "Some fields hold values that are not allowed.",
      "errors": [
        {
          "detail": "must be at most 200 characters long",
          "pointer": "/name"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:validation-failed"
    }
    "#);
    insta::assert_snapshot!(operator.patch(&path, &json!({ "plan": "gold" })).await.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "validation-failed",
      "detail": "Some fields hold values that are not allowed.",
      "errors": [
        {
          "detail": "must be free, pro or enterprise",
          "pointer": "/plan"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:validation-failed"
    }
    "#);
    operator.patch(&path, &json!({ "slug": "other" })).await.refused(422, "invalid-body");
    operator.patch(&path, &json!({ "status": "deleted" })).await.refused(422, "invalid-body");
    assert_eq!(operator.get(&path).await.json(), changed.json());

    // The new plan's limit is in force within seconds.
    let ask = async || tenant.owner.caller.get("/v1/me").await.expect(200);
    let limited =
        eventually(ask, |answer| answer.header("ratelimit-policy") == "\"tenant\";q=100;w=60").await;
    assert_eq!(limited.at("/tenant/requests_per_minute"), "100");
}

#[tokio::test]
async fn a_suspended_tenants_credentials_are_refused_within_seconds_until_it_is_activated() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let neighbour = system.tenant().await;
    let operator = system.operator().await;
    let anybody = system.anonymous();
    let key = tenant.key(RoleName::ADMIN).await;
    key.caller.get("/v1/me").await.expect(200);
    let login =
        |password: &str| json!({ "tenant": tenant.slug, "email": tenant.owner.email, "password": password });
    let second = anybody.post("/v1/auth/login", &login(&tenant.owner.password)).await.expect(200);
    let path = format!("/v1/admin/tenants/{}", tenant.id);

    insta::assert_snapshot!(operator.post_nothing(&format!("{path}/suspend")).await.show(), @r#"
    200
    etag: "v3"
    {
      "created_at": "[time]",
      "deleted_at": null,
      "id": "ten_…",
      "name": "Acme Corporation",
      "plan": "enterprise",
      "purge_after": null,
      "purged_at": null,
      "slug": "acme",
      "status": "suspended",
      "updated_at": "[time]",
      "version": 3
    }
    "#);
    // A user who logs in is told at once, whatever the node remembers of the tenant.
    let login_now = anybody.post("/v1/auth/login", &login(&tenant.owner.password)).await;
    login_now.refused(403, "tenant-suspended");
    let refused = eventually(async || key.caller.get("/v1/me").await, |answer| answer.status != 200).await;
    insta::assert_snapshot!(refused.show(), @r#"
    403
    content-type: application/problem+json
    {
      "code": "tenant-suspended",
      "detail": "This tenant is suspended. Contact the operator of the platform.",
      "request_id": "req_…",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:bulkhead:problem:tenant-suspended"
    }
    "#);
    let by_token = async || tenant.owner.caller.get("/v1/me").await;
    eventually(by_token, |answer| answer.status != 200).await.refused(403, "tenant-suspended");
    let refused = anybody.post("/v1/auth/login", &login(&tenant.owner.password)).await;
    refused.refused(403, "tenant-suspended");
    // Only a caller that knows the password learns of the suspension.
    anybody.post("/v1/auth/login", &login("not the password")).await.refused(401, "login-failed");
    let refresh = json!({ "refresh_token": tenant.owner.refresh_token });
    anybody.post("/v1/auth/refresh", &refresh).await.refused(403, "tenant-suspended");
    // A suspension keeps no user from logging out.
    let other = anybody.post("/v1/auth/logout", &json!({ "refresh_token": second.at("/refresh_token") }));
    other.await.expect(204);
    neighbour.owner.caller.get("/v1/me").await.expect(200);

    insta::assert_snapshot!(operator.post_nothing(&format!("{path}/activate")).await.show(), @r#"
    200
    etag: "v4"
    {
      "created_at": "[time]",
      "deleted_at": null,
      "id": "ten_…",
      "name": "Acme Corporation",
      "plan": "enterprise",
      "purge_after": null,
      "purged_at": null,
      "slug": "acme",
      "status": "active",
      "updated_at": "[time]",
      "version": 4
    }
    "#);
    eventually(async || key.caller.get("/v1/me").await, |answer| answer.status == 200).await;
    eventually(async || tenant.owner.caller.get("/v1/me").await, |answer| answer.status == 200).await;
    anybody.post("/v1/auth/refresh", &refresh).await.expect(200);
    let ended = json!({ "refresh_token": second.at("/refresh_token") });
    anybody.post("/v1/auth/refresh", &ended).await.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn a_tenant_in_the_hands_of_a_job_is_neither_suspended_nor_activated() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let operator = system.operator().await;
    let path = format!("/v1/admin/tenants/{}", tenant.id);
    let uuid = tenant.id.parse::<TenantId>().unwrap().uuid();
    for state in [
        "status = 'provisioning'",
        "status = 'deleted', deleted_at = now(), purge_after = now() + interval '1 day'",
    ] {
        system.sql(&format!("UPDATE platform.tenants SET {state} WHERE id = '{uuid}'"));
        operator.post_nothing(&format!("{path}/suspend")).await.refused(409, "wrong-state");
        operator.post_nothing(&format!("{path}/activate")).await.refused(409, "wrong-state");
    }
    insta::assert_snapshot!(operator.post_nothing(&format!("{path}/activate")).await.show(), @r#"
    409
    content-type: application/problem+json
    {
      "code": "wrong-state",
      "detail": "Only an active or a suspended tenant can be suspended or activated.",
      "request_id": "req_…",
      "status": 409,
      "title": "Conflict",
      "type": "urn:bulkhead:problem:wrong-state"
    }
    "#);
}

#[tokio::test]
async fn tenants_are_listed_in_pages_and_by_state() {
    let system = System::shared().await;
    let mut tenants = [system.tenant().await, system.tenant().await];
    // In the order of their ids, the second is somewhere on the pages after the first.
    tenants.sort_by(|one, other| one.id.cmp(&other.id));
    let operator = system.operator_with(RoleName::SUPPORT).await;
    let page =
        operator.get(&format!("/v1/admin/tenants?limit=100&cursor={}", tenants[0].id)).await.expect(200);
    let ids: Vec<Value> =
        page.json()["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
    assert!(ids.contains(&json!(tenants[1].id)) && !ids.contains(&json!(tenants[0].id)));
    let one = operator.get("/v1/admin/tenants?limit=1").await.expect(200);
    assert_eq!(one.at("/next_cursor"), one.at("/data/0/id"));
    assert!(one.header("link").contains("limit=1&cursor=ten_"));

    let found = operator.get(&format!("/v1/admin/tenants?slug={}", tenants[0].slug)).await.expect(200);
    assert_eq!(
        (found.at("/data/0/id"), found.json()["data"].as_array().unwrap().len()),
        (tenants[0].id.clone(), 1)
    );
    let both = format!("/v1/admin/tenants?slug={}&status=suspended", tenants[0].slug);
    assert_eq!(operator.get(&both).await.expect(200).at("/data"), "[]");
    assert_eq!(
        operator.get("/v1/admin/tenants?slug=nobody-is-called-so").await.expect(200).at("/data"),
        "[]"
    );
    insta::assert_snapshot!(operator.get("/v1/admin/tenants?slug=No%20slug").await.show(), @r#"
    400
    content-type: application/problem+json
    {
      "code": "invalid-parameter",
      "detail": "slug must be 3 to 40 characters: a lower-case letter, then lower-case letters, digits or hyphens, ending in a letter or digit.",
      "request_id": "req_…",
      "status": 400,
      "title": "Bad Request",
      "type": "urn:bulkhead:problem:invalid-parameter"
    }
    "#);

    let deleted = operator.get("/v1/admin/tenants?status=deleted&limit=100").await.expect(200).json();
    assert!(deleted["data"].as_array().unwrap().iter().all(|row| row["status"] == "deleted"));
    operator.get("/v1/admin/tenants?status=gone").await.refused(400, "invalid-parameter");
}

#[tokio::test]
async fn a_tenant_that_does_not_exist_is_not_found() {
    let system = System::shared().await;
    let operator = system.operator().await;
    let path = "/v1/admin/tenants/ten_01jd3e2x6m7k9v4q8t5b2n0c1c";
    insta::assert_snapshot!(operator.get(path).await.show(), @r#"
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
    operator.patch(path, &json!({ "name": "x" })).await.refused(404, "not-found");
    operator.post_nothing(&format!("{path}/suspend")).await.refused(404, "not-found");
    operator.post_nothing(&format!("{path}/activate")).await.refused(404, "not-found");
}
