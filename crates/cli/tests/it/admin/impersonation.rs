//! An operator acts as a tenant's person.

use bulkhead_domain::OperatorId;
use serde_json::{Value, json};

use super::set_password;
use crate::support::{Answer, Caller, System, Tenant, eventually, unique};

const PASSWORD: &str = "a longer sentence that nobody guesses";

/// An administrator who may be removed, with the access and the refresh token.
async fn admin<'a>(system: &'a System, permissions: &[&str]) -> (String, String, Caller<'a>, String) {
    let by = system.operator().await;
    let name = format!("r{}", unique());
    by.post("/v1/admin/roles", &json!({ "name": name, "permissions": permissions })).await.expect(201);
    let email = format!("{}@example.com", unique());
    let added = by.post("/v1/admin/operators", &json!({ "email": email, "role": name })).await.expect(201);
    let anybody = system.anonymous();
    set_password(system, &by, &added, PASSWORD).await;
    let login = json!({ "email": email, "password": PASSWORD });
    let tokens = anybody.post("/v1/auth/login", &login).await.expect(200);
    let caller = anybody.with_token(&tokens.at("/access_token"));
    (added.at("/id"), name, caller, tokens.at("/refresh_token"))
}

async fn act(operator: &Caller<'_>, tenant: &Tenant<'_>, user: &str) -> Answer {
    let body = json!({ "user": user, "reason": "Ticket 4711" });
    operator.post(&format!("/v1/admin/tenants/{}/impersonate", tenant.id), &body).await
}

fn as_token(system: &System, answer: Answer) -> Caller<'_> {
    system.anonymous().with_token(&answer.expect(200).at("/access_token"))
}

async fn ends(caller: &Caller<'_>) {
    let gone = eventually(async || caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn an_operator_acts_as_a_person_and_both_logs_say_so() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let operator = system.operator().await;
    let id = operator.get("/v1/me").await.expect(200).at("/subject");
    let answer = act(&operator, &tenant, &tenant.owner.id).await;
    insta::assert_snapshot!(answer.show(), @r#"
        200
        {
          "access_token": "[access token]",
          "expires_in": 600,
          "token_type": "Bearer"
        }
        "#);
    let acting = as_token(system, answer);
    let me = acting.get("/v1/me").await.expect(200);
    assert_eq!(
        (me.at("/subject"), me.at("/act"), me.at("/role")),
        (tenant.owner.id.clone(), id.clone(), "owner".into())
    );
    let held: Vec<String> = serde_json::from_value(me.json()["permissions"].clone()).unwrap();
    for withheld in ["write:users", "write:owners", "write:roles", "write:api_keys", "write:settings"] {
        assert!(!held.iter().any(|name| name == withheld), "{withheld}");
    }
    assert!(
        held.contains(&"write:resources".to_owned()) && held.contains(&"read:users".to_owned()),
        "{held:?}"
    );

    let resource = json!({ "name": "made by support", "kind": "document", "data": {} });
    acting.post("/v1/resources", &resource).await.expect(201);
    let schema = tenant.schema();
    let log = system.sql(&format!(
        "SELECT actor, action, changes->>'reason', act FROM {schema}.audit_log \
         WHERE action IN ('impersonate', 'create_resource') ORDER BY id"
    ));
    let expected = format!("{id}|impersonate|Ticket 4711|\n{}|create_resource||{id}", tenant.owner.id);
    assert_eq!(log, expected);
    let log = format!(
        "SELECT changes->>'reason' FROM platform.audit_log WHERE action = 'impersonate' AND target = '{}'",
        tenant.owner.id
    );
    assert_eq!(system.sql(&log), "Ticket 4711");
}

#[tokio::test]
async fn nothing_that_would_outlive_it_is_open_to_who_acts_as_somebody() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let acting = as_token(system, act(&system.operator().await, &tenant, &tenant.owner.id).await);
    let rows = tenant.rows();
    for (method, path, body) in [
        (
            "POST",
            "/v1/users".to_owned(),
            json!({ "email": "a@b.example", "password": PASSWORD, "role": "owner" }),
        ),
        ("POST", format!("/v1/users/{}/password-reset", tenant.owner.id), Value::Null),
        ("DELETE", format!("/v1/users/{}/second-factor", tenant.owner.id), Value::Null),
        ("DELETE", format!("/v1/users/{}", tenant.owner.id), Value::Null),
        ("POST", "/v1/api-keys".to_owned(), json!({ "name": "x", "role": "developer" })),
        ("POST", "/v1/roles".to_owned(), json!({ "name": "x", "permissions": [] })),
        ("PUT", "/v1/settings/impersonation".to_owned(), json!({ "allowed": true })),
        (
            "POST",
            format!("/v1/admin/tenants/{}/impersonate", tenant.id),
            json!({ "user": tenant.owner.id, "reason": "nested" }),
        ),
    ] {
        let call = acting.call(method, &path);
        let answer = if body.is_null() { call.await } else { call.json(&body).await };
        answer.refused(403, "insufficient-permission");
    }
    for (method, path, body) in [
        ("GET", "/v1/auth/sessions", Value::Null),
        ("DELETE", "/v1/auth/sessions", Value::Null),
        ("GET", "/v1/auth/second-factor", Value::Null),
        ("POST", "/v1/auth/second-factor", json!({ "current_password": PASSWORD })),
        (
            "POST",
            "/v1/auth/password",
            json!({ "current_password": PASSWORD, "new_password": "another sentence" }),
        ),
    ] {
        let call = acting.call(method, path);
        let answer = if body.is_null() { call.await } else { call.json(&body).await };
        answer.refused(403, "person-required");
    }
    assert_eq!(tenant.rows(), rows);
    // It is no session: nothing refreshes it.
    let sessions = format!("SELECT count(*) FROM {}.sessions", tenant.schema());
    assert_eq!(system.sql(&sessions), "1");
}

#[tokio::test]
async fn who_may_not_act_as_somebody_does_not() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    for role in ["support", "billing"] {
        let operator = system.operator_with(role).await;
        act(&operator, &tenant, &tenant.owner.id).await.refused(403, "insufficient-permission");
    }
    act(&tenant.owner.caller, &tenant, &tenant.owner.id).await.refused(403, "insufficient-permission");
    let admin = system.operator().await;
    let other = system.tenant().await;
    act(&admin, &tenant, &other.owner.id).await.refused(422, "validation-failed");
    act(&admin, &tenant, "usr_1").await.refused(422, "validation-failed");
    let path = format!("/v1/admin/tenants/{}/impersonate", tenant.id);
    for reason in ["", " ", &"x".repeat(501)] {
        let body = json!({ "user": tenant.owner.id, "reason": reason });
        admin.post(&path, &body).await.refused(422, "validation-failed");
    }
    admin.post_nothing(&format!("/v1/admin/tenants/{}/suspend", tenant.id)).await.expect(200);
    act(&admin, &tenant, &tenant.owner.id).await.refused(409, "wrong-state");
    let told = format!("SELECT count(*) FROM {}.audit_log WHERE action = 'impersonate'", tenant.schema());
    assert_eq!(system.sql(&told), "0", "what was not begun is not told");
}

/// A token says what its operator was a moment ago: who acts as somebody is decided by the rows.
#[tokio::test]
async fn who_may_act_no_more_does_not_though_no_node_was_told() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (id, role, operator, _) = admin(system, &["impersonate:tenant", "read:tenants"]).await;
    act(&operator, &tenant, &tenant.owner.id).await.expect(200);
    let uuid = id.parse::<OperatorId>().unwrap().uuid();
    let set_role = |role: &str| {
        system.sql(&format!("UPDATE platform.operators SET role = '{role}' WHERE id = '{uuid}'"))
    };
    set_role("support");
    act(&operator, &tenant, &tenant.owner.id).await.refused(403, "insufficient-permission");
    set_role(&role);
    let set_session = |change: &str| {
        system.sql(&format!("UPDATE platform.operator_sessions SET {change} WHERE operator_id = '{uuid}'"))
    };
    set_session("expires_at = now() + interval '60 seconds'");
    let short = act(&operator, &tenant, &tenant.owner.id).await.expect(200);
    assert!((1..=60).contains(&short.at("/expires_in").parse::<i64>().unwrap()), "{}", short.show());
    for over in ["expires_at = now()", "expires_at = now() + interval '1 day', revoked_at = now()"] {
        set_session(over);
        act(&operator, &tenant, &tenant.owner.id).await.refused(401, "invalid-credentials");
    }
    set_session("revoked_at = NULL");
    act(&operator, &tenant, &tenant.owner.id).await.expect(200);
}

/// The setting is looked at once more where the token is issued.
#[tokio::test]
async fn an_owner_switches_it_off_while_somebody_is_about_to_act() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (id, _, operator, _) = admin(system, &["impersonate:tenant", "read:tenants"]).await;
    let uuid = id.parse::<OperatorId>().unwrap().uuid();
    let lock = format!("BEGIN; UPDATE platform.operators SET version = version WHERE id = '{uuid}'");
    let lock = system.session(&lock);
    let switch_off = async {
        let announced =
            format!("SELECT count(*) FROM {}.audit_log WHERE action = 'impersonate'", tenant.schema());
        eventually(async || system.sql(&announced), |count| count == "1").await;
        let setting = tenant.owner.caller.call("PUT", "/v1/settings/impersonation");
        setting.json(&json!({ "allowed": false })).await.expect(200);
        drop(lock);
    };
    let (answer, ()) = tokio::join!(async { act(&operator, &tenant, &tenant.owner.id).await }, switch_off);
    answer.refused(409, "wrong-state");
}

#[tokio::test]
async fn an_owner_switches_it_off_and_on() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let operator = system.operator().await;
    let acting = as_token(system, act(&operator, &tenant, &tenant.owner.id).await);
    acting.get("/v1/me").await.expect(200);
    let path = "/v1/settings/impersonation";
    let person = tenant.person("admin").await;
    person
        .caller
        .call("PUT", path)
        .json(&json!({ "allowed": false }))
        .await
        .refused(403, "insufficient-permission");
    let set = async |allowed: bool| {
        tenant.owner.caller.call("PUT", path).json(&json!({ "allowed": allowed })).await.expect(200)
    };
    set(false).await;
    assert_eq!(person.caller.get(path).await.expect(200).at("/allowed"), "false");
    ends(&acting).await;
    act(&operator, &tenant, &tenant.owner.id).await.refused(409, "wrong-state");
    person.caller.get("/v1/me").await.expect(200);
    set(true).await;
    set(true).await;
    // A node may remember for a moment that it was off.
    let again = as_token(system, act(&operator, &tenant, &tenant.owner.id).await);
    eventually(async || again.get("/v1/me").await, |answer| answer.status == 200).await;
    let told =
        format!("SELECT count(*) FROM {}.audit_log WHERE action = 'put_impersonation'", tenant.schema());
    assert_eq!(system.sql(&told), "2", "what was so already is no entry");
}

#[tokio::test]
async fn it_ends_with_the_operators_session_right_and_account_and_with_the_persons_role() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let may = ["impersonate:tenant", "read:tenants"];
    let by = system.operator().await;

    let (_, _, operator, refresh) = admin(system, &may).await;
    let acting = as_token(system, act(&operator, &tenant, &tenant.owner.id).await);
    acting.get("/v1/me").await.expect(200);
    system.anonymous().post("/v1/auth/logout", &json!({ "refresh_token": refresh })).await.expect(204);
    ends(&acting).await;

    let (_, role, operator, _) = admin(system, &may).await;
    let acting = as_token(system, act(&operator, &tenant, &tenant.owner.id).await);
    acting.get("/v1/me").await.expect(200);
    by.patch(&format!("/v1/admin/roles/{role}"), &json!({ "permissions": ["read:tenants"] }))
        .await
        .expect(200);
    ends(&acting).await;

    let (id, _, operator, _) = admin(system, &may).await;
    let acting = as_token(system, act(&operator, &tenant, &tenant.owner.id).await);
    acting.get("/v1/me").await.expect(200);
    by.patch(&format!("/v1/admin/operators/{id}"), &json!({ "role": "support" })).await.expect(200);
    ends(&acting).await;

    let (id, _, operator, _) = admin(system, &may).await;
    let acting = as_token(system, act(&operator, &tenant, &tenant.owner.id).await);
    acting.get("/v1/me").await.expect(200);
    by.delete(&format!("/v1/admin/operators/{id}")).await.expect(204);
    ends(&acting).await;

    let person = tenant.person("developer").await;
    let acting = as_token(system, act(&by, &tenant, &person.id).await);
    acting.get("/v1/me").await.expect(200);
    let path = format!("/v1/users/{}", person.id);
    tenant.owner.caller.patch(&path, &json!({ "role": "read_only" })).await.expect(200);
    ends(&acting).await;
    by.get("/v1/me").await.expect(200);
}
