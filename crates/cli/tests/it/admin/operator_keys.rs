//! API keys of operators' programs.

use bulkhead_domain::{Clock, SystemClock};
use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};

use super::set_password;
use crate::support::{Caller, System, eventually, unique};

const PASSWORD: &str = "a longer sentence that nobody guesses";

fn in_days(days: i64) -> String {
    (SystemClock.now() + TimeDelta::days(days)).to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn key(scopes: &[&str]) -> Value {
    json!({ "name": "sign-up page", "scopes": scopes, "expires_at": in_days(30) })
}

/// An operator with a role of their own: their id, and a caller.
async fn operator<'a>(system: &'a System, permissions: &[&str]) -> (String, String, Caller<'a>) {
    let admin = system.operator().await;
    let name = format!("r{}", unique());
    let role = json!({ "name": name, "permissions": permissions });
    admin.post("/v1/admin/roles", &role).await.expect(201);
    let email = format!("{}@example.com", unique());
    let added = admin.post("/v1/admin/operators", &json!({ "email": email, "role": name })).await.expect(201);
    let anybody = system.anonymous();
    set_password(system, &admin, &added, PASSWORD).await;
    let login = json!({ "email": email, "password": PASSWORD });
    let tokens = anybody.post("/v1/auth/login", &login).await.expect(200);
    (added.at("/id"), name, anybody.with_token(&tokens.at("/access_token")))
}

#[tokio::test]
async fn a_program_of_an_operator_does_what_its_scopes_say_until_it_is_revoked() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let made = admin.post("/v1/admin/api-keys", &key(&["read:tenants", "write:tenants"])).await;
    insta::assert_snapshot!(made.show(), @r#"
        201
        location: /v1/admin/api-keys/opk_…
        {
          "created_at": "[time]",
          "created_by": "opr_…",
          "expires_at": "[time]",
          "hint": "[hint]",
          "id": "opk_…",
          "key": "[operator key]",
          "last_used_at": null,
          "name": "sign-up page",
          "revoked_at": null,
          "scopes": [
            "read:tenants",
            "write:tenants"
          ]
        }
        "#);
    let (id, secret) = (made.at("/id"), made.at("/key"));
    let program = system.anonymous().with_key(&secret);
    let me = program.get("/v1/me").await.expect(200);
    assert_eq!(me.json()["permissions"], json!(["read:tenants", "write:tenants"]));
    assert_eq!(me.at("/subject"), id);
    // What a sign-up page is for.
    let slug = format!("acme-{}", unique());
    let body = json!({
        "slug": slug, "name": "Signed up", "plan": "free",
        "owner": { "email": format!("{slug}@example.com"), "password": PASSWORD },
    });
    program.post("/v1/admin/tenants", &body).await.expect(202);
    let told = format!(
        "SELECT actor = '{id}' FROM platform.audit_log WHERE action = 'create_tenant' AND actor LIKE 'opk%' ORDER BY id DESC LIMIT 1"
    );
    assert_eq!(system.sql(&told), "t");
    program.get("/v1/admin/operators").await.refused(403, "insufficient-permission");
    program.get("/v1/users").await.refused(403, "insufficient-permission");
    program.get("/v1/auth/sessions").await.refused(403, "person-required");
    assert_ne!(admin.get(&format!("/v1/admin/api-keys/{id}")).await.expect(200).at("/last_used_at"), "null");

    // As a bearer, too.
    system.anonymous().with_token(&secret).get("/v1/me").await.expect(200);
    admin.delete(&format!("/v1/admin/api-keys/{id}")).await.expect(204);
    program.get("/v1/me").await.refused(401, "invalid-credentials");
    admin.delete(&format!("/v1/admin/api-keys/{id}")).await.expect(204);
    let dump = system.dump();
    assert!(!dump.contains(&secret) && !system.logs().contains(&secret), "the key is stored or logged");
}

#[tokio::test]
async fn a_key_is_scoped_and_ends() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let with = |member: &str, value: Value| {
        let mut body = key(&["read:tenants"]);
        body[member] = value;
        body
    };
    for (body, pointer) in [
        (with("scopes", json!([])), "/scopes"),
        (with("scopes", json!(["read:users"])), "/scopes/0"),
        (with("scopes", json!(["read:tenants", "read:tenants"])), "/scopes/1"),
        (with("scopes", json!(["write:operators"])), "/scopes/0"),
        (with("scopes", json!(["write:operator_keys"])), "/scopes/0"),
        (with("scopes", json!(["impersonate:tenant"])), "/scopes/0"),
        (with("expires_at", json!(in_days(-1))), "/expires_at"),
        (with("expires_at", json!(in_days(400))), "/expires_at"),
        (with("expires_at", json!(null)), "/expires_at"),
        (with("name", json!("")), "/name"),
    ] {
        let refused = admin.post("/v1/admin/api-keys", &body).await;
        assert_eq!((refused.status, refused.at("/errors/0/pointer").as_str()), (422, pointer), "{body}");
    }
    let mut endless = key(&["read:tenants"]);
    endless.as_object_mut().unwrap().remove("expires_at");
    assert_eq!(admin.post("/v1/admin/api-keys", &endless).await.status, 422);

    // A wildcard stands for what its operator holds, but for what no key may use.
    let made = admin.post("/v1/admin/api-keys", &key(&["*:*"])).await.expect(201);
    let program = system.anonymous().with_key(&made.at("/key"));
    let held = program.get("/v1/me").await.expect(200).json()["permissions"].clone();
    let all = admin.get("/v1/me").await.expect(200).json()["permissions"].clone();
    let withheld =
        ["write:operators", "write:operator_keys", "write:all_identity_providers", "impersonate:tenant"];
    let expected: Vec<_> =
        all.as_array().unwrap().iter().filter(|name| !withheld.contains(&name.as_str().unwrap())).collect();
    assert_eq!(held.as_array().unwrap().iter().collect::<Vec<_>>(), expected);
    program.post("/v1/admin/api-keys", &key(&["read:tenants"])).await.refused(403, "insufficient-permission");

    // Its time is over.
    let uuid = made.at("/id").parse::<bulkhead_domain::OperatorKeyId>().unwrap().uuid();
    system.sql(&format!("UPDATE platform.operator_keys SET expires_at = now() WHERE id = '{uuid}'"));
    program.get("/v1/me").await.refused(401, "invalid-credentials");
}

/// "Never more than its maker still holds": by a change of the role, by another role, by the maker's removal.
#[tokio::test]
async fn a_key_holds_what_its_operator_still_holds() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let (id, role, maker) = operator(system, &["read:tenants", "read:all_usage", "*:operator_keys"]).await;
    let beyond = maker.post("/v1/admin/api-keys", &key(&["read:tenants", "write:tenants"])).await;
    let beyond = beyond.refused(422, "validation-failed");
    assert_eq!(beyond.at("/errors/0/pointer"), "/scopes/1");
    let made = maker.post("/v1/admin/api-keys", &key(&["read:tenants", "read:all_usage"])).await.expect(201);
    let program = system.anonymous().with_key(&made.at("/key"));
    let held = async || program.get("/v1/me").await.expect(200).json()["permissions"].clone();
    assert_eq!(held().await, json!(["read:tenants", "read:all_usage"]));
    let less = json!({ "permissions": ["read:all_usage"] });
    admin.patch(&format!("/v1/admin/roles/{role}"), &less).await.expect(200);
    assert_eq!(held().await, json!(["read:all_usage"]));
    program.get("/v1/admin/tenants").await.refused(403, "insufficient-permission");
    let other = json!({ "role": "support" });
    admin.patch(&format!("/v1/admin/operators/{id}"), &other).await.expect(200);
    assert_eq!(held().await, json!(["read:tenants", "read:all_usage"]));
    admin.delete(&format!("/v1/admin/operators/{id}")).await.expect(204);
    program.get("/v1/me").await.refused(401, "invalid-credentials");
    let gone = eventually(async || maker.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn a_key_of_a_higher_operator_is_not_revoked_from_below() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let (_, _, other) = operator(system, &["*:operator_keys"]).await;
    let theirs = admin.post("/v1/admin/api-keys", &key(&["read:tenants"])).await.expect(201).at("/id");
    other.delete(&format!("/v1/admin/api-keys/{theirs}")).await.refused(403, "role-not-grantable");
    let own = other.post("/v1/admin/api-keys", &key(&["read:operator_keys"])).await.expect(201).at("/id");
    other.delete(&format!("/v1/admin/api-keys/{own}")).await.expect(204);
}

/// Every way to have no such key is answered alike, to the last byte but the request's id.
#[tokio::test]
async fn a_key_that_was_made_up_is_refused() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let made = admin.post("/v1/admin/api-keys", &key(&["read:tenants"])).await.expect(201);
    let other = admin.post("/v1/admin/api-keys", &key(&["read:tenants"])).await.expect(201);
    let (good, hint) = (made.at("/key"), made.at("/hint"));
    let others_tail = other.at("/key")[other.at("/hint").len()..].to_owned();
    let ask = async |text: &str| system.anonymous().with_key(text).get("/v1/me").await;
    let first = ask("nonsense").await.refused(401, "invalid-credentials").body_without_request_id();
    let swapped = |at: usize| {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
        String::from_utf8(bytes).unwrap()
    };
    for text in [
        format!("{hint}{others_tail}"),
        format!("{hint}_"),
        hint.clone(),
        good.replacen("bh_ok_o", "bh_ok_t", 1),
        good.replacen("bh_ok_", "bh_rt_", 1),
        good.replacen("bh_ok_", "bh_pr_", 1),
        good.replacen("bh_ok_", "bh_live_", 1),
        good.to_uppercase(),
        format!("{good}x"),
        format!("{good}="),
        good[..good.len() - 1].to_owned(),
        swapped(10),
        swapped(hint.len() + 5),
        swapped(good.len() - 1),
        format!("bh_ok_o{}_{}", "0".repeat(26), "A".repeat(64)),
    ] {
        let refused = ask(&text).await.refused(401, "invalid-credentials");
        assert_eq!(refused.body_without_request_id(), first, "{text}");
    }
    ask(&good).await.expect(200);
}
