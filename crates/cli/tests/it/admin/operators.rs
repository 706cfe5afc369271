//! Operators: who they are, what they may do, and how they come and go.

use bulkhead_domain::OperatorId;
use futures::future::join_all;
use serde_json::{Value, json};

use super::set_password;
use crate::{
    second_factor::set_up,
    support::{Answer, Caller, Options, System, bulkhead, eventually, unique},
};

const PASSWORD: &str = "a longer sentence that nobody guesses";

fn address() -> String {
    format!("{}@example.com", unique())
}

/// An operator who was added by `by` and has set a password: their id, address and a caller.
async fn operator<'a>(system: &'a System, by: &Caller<'_>, role: &str) -> (String, String, Caller<'a>) {
    let email = address();
    let added = by.post("/v1/admin/operators", &json!({ "email": email, "role": role })).await.expect(201);
    set_password(system, by, &added, PASSWORD).await;
    let caller = log_in(system, &email).await;
    (added.at("/id"), email, caller)
}

async fn log_in<'a>(system: &'a System, email: &str) -> Caller<'a> {
    let login = json!({ "email": email, "password": PASSWORD });
    let tokens = system.anonymous().post("/v1/auth/login", &login).await.expect(200);
    system.anonymous().with_token(&tokens.at("/access_token"))
}

fn path(id: &str) -> String {
    format!("/v1/admin/operators/{id}")
}

#[tokio::test]
async fn an_operator_is_added_sets_a_password_and_is_seen() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let email = address();
    let added = admin.post("/v1/admin/operators", &json!({ "email": email, "role": "billing" })).await;
    insta::assert_snapshot!(added.show().replace(&email, "[email]"), @r#"
        201
        location: /v1/admin/operators/opr_…
        {
          "created_at": "[time]",
          "email": "[email]",
          "id": "opr_…",
          "invited_until": "[time]",
          "role": "billing",
          "state": "invited",
          "token": "[reset token]",
          "updated_at": "[time]",
          "version": 1
        }
        "#);
    let id = added.at("/id");
    let login = json!({ "email": email, "password": "" });
    system.anonymous().post("/v1/auth/login", &login).await.refused(401, "login-failed");
    let login = json!({ "email": email, "password": PASSWORD });
    system.anonymous().post("/v1/auth/login", &login).await.refused(401, "login-failed");

    let set = |token: &str, password: &str| json!({ "token": token, "new_password": password });
    let anybody = system.anonymous();
    let token = added.at("/token");
    anybody.post("/v1/auth/password/reset", &set(&token, "short")).await.refused(422, "validation-failed");
    set_password(system, &admin, &added, PASSWORD).await;
    anybody.post("/v1/auth/password/reset", &set(&token, PASSWORD)).await.refused(422, "validation-failed");
    let caller = log_in(system, &email).await;
    let me = caller.get("/v1/me").await.expect(200);
    assert_eq!(me.json()["permissions"], json!(["read:tenants", "read:all_usage"]));
    let seen = admin.get(&path(&id)).await.expect(200);
    assert_eq!((seen.at("/state"), seen.at("/invited_until")), ("active".into(), "null".into()));
    assert_eq!(seen.header("etag"), "\"v2\"");

    let again = json!({ "email": email.to_uppercase(), "role": "support" });
    admin.post("/v1/admin/operators", &again).await.refused(409, "already-taken");
    for (body, pointer) in [
        (json!({ "email": "nobody", "role": "support" }), "/email"),
        (json!({ "email": address(), "role": "owner" }), "/role"),
        (json!({ "email": address(), "role": "no_such_role" }), "/role"),
        (json!({ "email": address(), "role": "Admin" }), "/role"),
    ] {
        let refused = admin.post("/v1/admin/operators", &body).await.refused(422, "validation-failed");
        assert_eq!(refused.at("/errors/0/pointer"), pointer, "{body}");
    }
}

#[tokio::test]
async fn support_sees_and_changes_nothing() {
    let system = System::shared().await;
    let support = system.operator_with("support").await;
    let held = support.get("/v1/me").await.expect(200).json()["permissions"].clone();
    let held: Vec<&str> = held.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(
        held.contains(&"read:operators") && held.iter().all(|name| name.starts_with("read:")),
        "{held:?}"
    );
    support.get("/v1/admin/operators").await.expect(200);
    let body = json!({ "email": address(), "role": "support" });
    support.post("/v1/admin/operators", &body).await.refused(403, "insufficient-permission");
}

#[tokio::test]
async fn a_demotion_and_a_removal_are_felt_within_seconds() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let (id, email, caller) = operator(system, &admin, "support").await;
    caller.get("/v1/admin/keys").await.expect(200);
    let changed = admin.patch(&path(&id), &json!({ "role": "billing" })).await.expect(200);
    assert_eq!((changed.at("/role"), changed.at("/version")), ("billing".into(), "3".into()));
    let gone = eventually(async || caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    let caller = log_in(system, &email).await;
    caller.get("/v1/admin/keys").await.refused(403, "insufficient-permission");

    admin.delete(&path(&id)).header("if-match", "\"v2\"").await.refused(412, "precondition-failed");
    admin.delete(&path(&id)).header("if-match", "\"v3\"").await.expect(204);
    admin.delete(&path(&id)).await.refused(404, "not-found");
    let gone = eventually(async || caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    let login = json!({ "email": email, "password": PASSWORD });
    system.anonymous().post("/v1/auth/login", &login).await.refused(401, "login-failed");
    let told =
        format!("SELECT string_agg(action, ' ' ORDER BY id) FROM platform.audit_log WHERE target = '{id}'");
    assert_eq!(system.sql(&told), "create_operator reset_password update_operator delete_operator");
}

#[tokio::test]
async fn an_invitation_is_used_by_one_of_many_and_replaced_by_the_next() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let email = address();
    let added =
        admin.post("/v1/admin/operators", &json!({ "email": email, "role": "support" })).await.expect(201);
    let again = admin.post_nothing(&format!("{}/invitation", path(&added.at("/id")))).await.expect(201);
    let set = async |token: &str, password: String| {
        let body = json!({ "token": token, "new_password": password });
        system.anonymous().post("/v1/auth/password/reset", &body).unchecked().await.status
    };
    assert_eq!(set(&added.at("/token"), PASSWORD.to_owned()).await, 422, "the first was replaced");
    let mut token = again.at("/token");
    let mut told = Vec::new();
    for _ in 0..5 {
        told = join_all((0..64).map(|number| set(&token, format!("the password of caller {number}")))).await;
        // A test beside this one may have changed a role, which takes the token back from all.
        if told.contains(&204) {
            break;
        }
        token = admin
            .post_nothing(&format!("{}/invitation", path(&added.at("/id"))))
            .await
            .expect(201)
            .at("/token");
    }
    assert_eq!(told.iter().filter(|status| **status == 204).count(), 1, "{told:?}");
    assert!(told.iter().all(|status| [204, 422, 429, 503].contains(status)), "{told:?}");
}

/// What an operator has handed out ends with their right to hand it out, and with a change of what it would open.
#[tokio::test]
async fn an_invitation_ends_with_the_rights_of_its_maker() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let name = format!("r{}", unique());
    let role = json!({ "name": name, "permissions": ["read:tenants", "read:operators", "write:operators"] });
    admin.post("/v1/admin/roles", &role).await.expect(201);
    let invite = async |by: &Caller<'_>| {
        let guest = json!({ "email": address(), "role": name });
        by.post("/v1/admin/operators", &guest).await.expect(201)
    };
    let refused = async |added: &Answer| {
        let body = json!({ "token": added.at("/token"), "new_password": PASSWORD });
        system.anonymous().post("/v1/auth/password/reset", &body).await.refused(422, "validation-failed");
    };
    let (maker, _, caller) = operator(system, &admin, &name).await;
    let added = invite(&caller).await;
    admin.patch(&path(&maker), &json!({ "role": "support" })).await.expect(200);
    refused(&added).await;

    let (maker, _, caller) = operator(system, &admin, &name).await;
    let added = invite(&caller).await;
    admin.delete(&path(&maker)).await.expect(204);
    refused(&added).await;

    // The one who was invited for one role does not come in with another.
    let added = invite(&admin).await;
    admin.patch(&path(&added.at("/id")), &json!({ "role": "billing" })).await.expect(200);
    refused(&added).await;

    // Nobody comes in late.
    let added = invite(&admin).await;
    let uuid = added.at("/id").parse::<OperatorId>().unwrap().uuid();
    system.sql(&format!("UPDATE platform.operators SET token_expires_at = now() WHERE id = '{uuid}'"));
    refused(&added).await;

    // What a role holds changes, and with it who may hand out what.
    let added = invite(&admin).await;
    let less = json!({ "permissions": ["read:tenants"] });
    admin.patch(&format!("/v1/admin/roles/{name}"), &less).await.expect(200);
    refused(&added).await;
    set_password(system, &admin, &added, PASSWORD).await;
}

/// A password that is set with a token ends whatever was opened with the one before.
#[tokio::test]
async fn an_operators_new_password_ends_their_sessions() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let (id, email, caller) = operator(system, &admin, "support").await;
    let login = |password: &str| json!({ "email": email, "password": password });
    let tokens = system.anonymous().post("/v1/auth/login", &login(PASSWORD)).await.expect(200);
    let again = admin.post_nothing(&format!("{}/invitation", path(&id))).await.expect(201);
    let new = "another sentence that nobody guesses";
    set_password(system, &admin, &again, new).await;
    let refresh = json!({ "refresh_token": tokens.at("/refresh_token") });
    system.anonymous().post("/v1/auth/refresh", &refresh).await.refused(401, "invalid-credentials");
    let gone = eventually(async || caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    system.anonymous().post("/v1/auth/login", &login(PASSWORD)).await.refused(401, "login-failed");
    system.anonymous().post("/v1/auth/login", &login(new)).await.expect(200);
}

#[tokio::test]
async fn an_operators_second_factor_is_taken_away_with_their_sessions() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let (id, email, caller) = operator(system, &admin, "support").await;
    let (_, recovery) = set_up(&caller, PASSWORD).await;
    let login = json!({ "email": email, "password": PASSWORD });
    let challenge = system.anonymous().post("/v1/auth/login", &login).await;
    let challenge = challenge.refused(403, "second-factor-required").at("/challenge");
    let step = json!({ "challenge": challenge, "code": recovery[0] });
    let tokens = system.anonymous().post("/v1/auth/login/second-factor", &step).await.expect(200);
    admin.delete(&format!("{}/second-factor", path(&id))).await.expect(204);
    let refresh = json!({ "refresh_token": tokens.at("/refresh_token") });
    system.anonymous().post("/v1/auth/refresh", &refresh).await.refused(401, "invalid-credentials");
    let gone = eventually(async || caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    log_in(system, &email).await.get("/v1/me").await.expect(200);
}

/// A token says what its operator was a moment ago: what they hand out is decided by what their row says now.
#[tokio::test]
async fn what_an_operator_hands_out_is_decided_by_the_role_that_they_have_now() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let name = format!("r{}", unique());
    let held = ["read:*", "write:operators"];
    admin.post("/v1/admin/roles", &json!({ "name": name, "permissions": held })).await.expect(201);
    let (id, _, caller) = operator(system, &admin, &name).await;
    let guest = || json!({ "email": address(), "role": "support" });
    caller.post("/v1/admin/operators", &guest()).await.expect(201);
    let uuid = id.parse::<OperatorId>().unwrap().uuid();
    // No node is told of it.
    system.sql(&format!("UPDATE platform.operators SET role = 'support' WHERE id = '{uuid}'"));
    caller.post("/v1/admin/operators", &guest()).await.refused(403, "insufficient-permission");
    system.sql(&format!("DELETE FROM platform.operators WHERE id = '{uuid}'"));
    caller.post("/v1/admin/operators", &guest()).await.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_hold() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let name = format!("r{}", unique());
    let held = ["read:tenants", "read:operators", "write:operators"];
    let role = json!({ "name": name, "description": "Adds others.", "permissions": held });
    let made = admin.post("/v1/admin/roles", &role).await.expect(201);
    assert_eq!(made.json()["effective_permissions"], json!(held));
    let (id, _, caller) = operator(system, &admin, &name).await;
    assert_eq!(caller.get("/v1/me").await.expect(200).json()["permissions"], json!(held));

    for role in ["admin", "support", "billing"] {
        let body = json!({ "email": address(), "role": role });
        caller.post("/v1/admin/operators", &body).await.refused(403, "role-not-grantable");
    }
    for permissions in [json!(["write:tenants"]), json!(["read:*"]), json!(["*:*"])] {
        let body = json!({ "name": format!("r{}", unique()), "permissions": permissions });
        caller.post("/v1/admin/roles", &body).await.refused(403, "role-not-grantable");
    }
    // Neither does a role of theirs come to hold more, nor is one that holds more theirs to change or remove.
    let below = json!({ "name": format!("r{}", unique()), "permissions": ["read:tenants"] });
    let below = caller.post("/v1/admin/roles", &below).await.expect(201).header("location").to_owned();
    let more = json!({ "permissions": ["read:tenants", "write:tenants"] });
    caller.patch(&below, &more).await.refused(403, "role-not-grantable");
    caller.delete(&below).await.expect(204);
    let above = json!({ "name": format!("r{}", unique()), "permissions": ["write:tenants"] });
    let above = admin.post("/v1/admin/roles", &above).await.expect(201).header("location").to_owned();
    caller.patch(&above, &json!({ "permissions": [] })).await.refused(403, "role-not-grantable");
    caller.delete(&above).await.refused(403, "role-not-grantable");
    admin.delete(&above).await.expect(204);
    let (theirs, _, _) = operator(system, &admin, "support").await;
    caller.delete(&path(&theirs)).await.refused(403, "role-not-grantable");
    caller.patch(&path(&theirs), &json!({ "role": name })).await.refused(403, "role-not-grantable");
    caller.post_nothing(&format!("{}/invitation", path(&theirs))).await.refused(403, "role-not-grantable");
    caller.delete(&format!("{}/second-factor", path(&theirs))).await.refused(403, "role-not-grantable");
    caller.patch(&path(&id), &json!({ "role": "admin" })).await.refused(403, "role-not-grantable");
    caller.post("/v1/admin/operators", &json!({ "email": address(), "role": name })).await.expect(201);

    // A change of the role counts at once, and a token of before it is refused within seconds.
    let less = json!({ "permissions": ["read:tenants"] });
    admin.patch(&format!("/v1/admin/roles/{name}"), &less).await.expect(200);
    let body = json!({ "email": address(), "role": name });
    let refused = caller.post("/v1/admin/operators", &body).await;
    assert!([401, 403].contains(&refused.status), "{}", refused.show());
    admin.delete(&format!("/v1/admin/roles/{name}")).await.refused(409, "wrong-state");
}

#[tokio::test]
async fn roles_of_operators_are_checked_like_those_of_tenants() {
    let system = System::shared().await;
    let admin = system.operator().await;
    let roles = admin.get("/v1/admin/roles").await.expect(200);
    assert_eq!((roles.at("/data/0/name"), roles.at("/data/0/built_in")), ("admin".into(), "true".into()));
    let make = async |body: Value| admin.post("/v1/admin/roles", &body).await;
    for (entry, detail) in [
        ("read:users", "is a permission of tenants, which no role of an operator holds"),
        ("read:tenant", "must be a permission that exists, like read:tenants"),
        ("reed:tenants", "must be a permission that exists, like read:tenants"),
    ] {
        let refused =
            make(json!({ "name": "x", "permissions": [entry] })).await.refused(422, "validation-failed");
        assert_eq!(refused.at("/errors/0/detail"), detail);
    }
    for name in ["admin", "owner", "bulkhead_x", "X", ""] {
        make(json!({ "name": name, "permissions": [] })).await.refused(422, "validation-failed");
    }
    let name = format!("r{}", unique());
    let path = format!("/v1/admin/roles/{name}");
    make(json!({ "name": name, "permissions": ["read:*"] })).await.expect(201);
    make(json!({ "name": name, "permissions": [] })).await.refused(409, "already-taken");
    let same = admin.patch(&path, &json!({ "permissions": ["read:*"] })).await.expect(200);
    assert_eq!(same.at("/version"), "1");
    admin.patch("/v1/admin/roles/support", &json!({ "permissions": [] })).await.refused(409, "wrong-state");
    admin.delete("/v1/admin/roles/support").await.refused(409, "wrong-state");
    admin.delete(&path).await.expect(204);
    admin.get(&path).await.refused(404, "not-found");
}

/// On a system of its own: its one administrator is the last one.
#[tokio::test]
async fn the_last_administrator_stays_and_the_command_line_helps() {
    let system = System::start("operators", Options::default()).await;
    let admin = system.operator().await;
    let id = admin.get("/v1/me").await.expect(200).at("/subject");
    admin.delete(&path(&id)).await.refused(409, "last-admin");
    admin.patch(&path(&id), &json!({ "role": "support" })).await.refused(409, "last-admin");
    // One who was invited and cannot log in yet is no help.
    let guest = address();
    let added =
        admin.post("/v1/admin/operators", &json!({ "email": guest, "role": "admin" })).await.expect(201);
    admin.delete(&path(&id)).await.refused(409, "last-admin");

    let run = |arguments: &[&str], input: &str| bulkhead(arguments, &system.commands(), input);
    let listed = run(&["operator", "list"], "");
    assert!(listed.success && listed.out.contains(&format!("{guest}  admin  invited")), "{listed:?}");
    let first = system.operator_login("admin").email.clone();
    for arguments in [&["operator", "remove", &first][..], &["operator", "role", &first, "support"]] {
        let refused = run(arguments, "");
        assert!(!refused.success && refused.err.contains("at least one admin"), "{refused:?}");
    }
    let second = address();
    let made = run(&["operator", "create", &second], PASSWORD);
    assert!(made.success, "{made:?}");
    let caller = log_in(&system, &second).await;
    let demoted = run(&["operator", "role", &second, "billing"], "");
    assert!(demoted.success && demoted.out.contains("billing"), "{demoted:?}");
    let gone = eventually(async || caller.get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    let unknown = run(&["operator", "role", &second, "no_such_role"], "");
    assert!(!unknown.success && unknown.err.contains("/v1/admin/roles"), "{unknown:?}");
    let removed = run(&["operator", "remove", &second], "");
    assert!(removed.success, "{removed:?}");
    let removed = run(&["operator", "remove", &second], "");
    assert!(!removed.success && removed.err.contains("there is no operator"), "{removed:?}");
    // Two administrators: either may go, and of two at once one stays.
    let body = json!({ "token": added.at("/token"), "new_password": PASSWORD });
    system.anonymous().post("/v1/auth/password/reset", &body).await.expect(204);
    let other = log_in(&system, &guest).await;
    let theirs = path(&added.at("/id"));
    let (one, two) =
        futures::join!(async { admin.delete(&theirs).await }, async { other.delete(&path(&id)).await });
    let told = [one, two];
    let done = told.iter().filter(|answer| answer.status == 204).count();
    assert_eq!(done, 1, "{told:?}");
    let left = system.sql("SELECT count(*) FROM platform.operators WHERE role = 'admin'");
    assert_eq!(left, "1");
}
