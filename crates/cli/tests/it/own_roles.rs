//! Roles that a tenant defines.

use bulkhead_domain::RoleName;
use bulkhead_testkit::{Caller, Tenant};
use serde_json::{Value, json};

use crate::support::{System, bulkhead, eventually, unique};

/// The transaction that has last told every node that the tenant has changed.
fn announced(tenant: &Tenant<'_>) -> u64 {
    let newest = format!(
        "SELECT coalesce(max(r.xid), 0) FROM platform.revocations r JOIN platform.tenants t ON t.id = r.tenant_id \
         WHERE t.slug = '{}' AND r.subject = 'tenant'",
        tenant.slug
    );
    tenant.app.sql(&newest).parse().unwrap()
}

/// Makes a role as the owner.
async fn role(tenant: &Tenant<'_>, name: &str, permissions: &[&str]) {
    let body = json!({ "name": name, "permissions": permissions });
    tenant.owner.caller.post("/v1/roles", &body).await.expect(201);
}

async fn permissions(caller: &Caller<'_>) -> Value {
    caller.get("/v1/me").await.expect(200).json()["permissions"].clone()
}

#[tokio::test]
async fn from_definition_to_removal() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let body = json!({
        "name": "clerk", "description": "Sees people, sends invoices.", "permissions": ["read:users", "*:resources"],
    });
    let made = owner.post("/v1/roles", &body).await;
    insta::assert_snapshot!(made.show(), @r#"
    201
    location: /v1/roles/clerk
    etag: "v1"
    {
      "built_in": false,
      "created_at": "[time]",
      "created_by": "usr_…",
      "description": "Sees people, sends invoices.",
      "effective_permissions": [
        "read:users",
        "read:resources",
        "write:resources"
      ],
      "name": "clerk",
      "permissions": [
        "read:users",
        "*:resources"
      ],
      "updated_at": "[time]",
      "version": 1
    }
    "#);
    let read = owner.get("/v1/roles/clerk").await.expect(200);
    assert_eq!((read.json(), read.header("etag")), (made.json(), "\"v1\""));
    owner.post("/v1/roles", &body).await.refused(409, "already-taken");
    insta::assert_snapshot!(owner.get("/v1/roles/read_only").await.show(), @r#"
    200
    etag: "v1"
    {
      "built_in": true,
      "created_at": null,
      "created_by": null,
      "description": "",
      "effective_permissions": [
        "read:jobs",
        "read:usage",
        "read:scaling",
        "read:resources"
      ],
      "name": "read_only",
      "permissions": [
        "read:jobs",
        "read:usage",
        "read:scaling",
        "read:resources"
      ],
      "updated_at": null,
      "version": 1
    }
    "#);
    let listed = owner.get("/v1/roles").await.expect(200).json()["data"].clone();
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["owner", "admin", "developer", "read_only", "clerk"]);

    let person = tenant.person("clerk").await;
    let key = tenant.key("clerk").await;
    for caller in [&person.caller, &key.caller] {
        let me = caller.get("/v1/me").await.expect(200);
        assert_eq!(me.at("/role"), "clerk");
        assert_eq!(me.json()["permissions"], json!(["read:users", "read:resources", "write:resources"]));
        caller.get("/v1/users").await.expect(200);
        caller.get("/v1/usage").await.refused(403, "insufficient-permission");
    }
    let in_use = owner.delete("/v1/roles/clerk").await.refused(409, "wrong-state");
    assert_eq!(
        in_use.at("/detail"),
        "People or API keys that work have this role, or people who register get it. Give them another one first."
    );
    let user = format!("/v1/users/{}", person.id);
    assert_eq!(owner.get(&user).await.at("/role"), "clerk");
    owner.patch(&user, &json!({ "role": "read_only" })).await.expect(200);
    owner.delete("/v1/roles/clerk").await.refused(409, "wrong-state");
    owner.delete(&format!("/v1/api-keys/{}", key.id)).await.expect(204);
    owner.delete("/v1/roles/clerk").header("if-match", "\"v2\"").await.refused(412, "precondition-failed");
    let before = announced(&tenant);
    owner.delete("/v1/roles/clerk").header("if-match", "\"v1\"").await.expect(204);
    assert!(announced(&tenant) > before, "no node is told that the role is gone");
    owner.get("/v1/roles/clerk").await.refused(404, "not-found");
    owner.patch("/v1/roles/clerk", &json!({})).await.refused(404, "not-found");
    let refused = owner.patch(&user, &json!({ "role": "clerk" })).await.refused(422, "validation-failed");
    assert_eq!(
        refused.at("/errors/0/detail"),
        "must be owner, admin, developer or read_only, or another one that /v1/roles lists"
    );
    let audited = format!(
        "SELECT string_agg(action || ' ' || target, ', ' ORDER BY id) FROM {}.audit_log WHERE action LIKE '%_role'",
        tenant.schema()
    );
    assert_eq!(system.sql(&audited), "create_role clerk, delete_role clerk");
}

#[tokio::test]
async fn a_change_of_a_role_counts_within_seconds_for_those_who_have_it() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let at_first = announced(&tenant);
    role(&tenant, "clerk", &["read:users"]).await;
    let made = announced(&tenant);
    assert!(made > at_first, "nodes may remember that there is no such role");
    let (person, key) = (tenant.person("clerk").await.caller, tenant.key("clerk").await.caller);
    for caller in [&person, &key] {
        caller.get("/v1/users").await.expect(200);
    }
    let change = json!({ "permissions": ["read:usage"] });
    let changed = owner.patch("/v1/roles/clerk", &change).header("if-match", "\"v1\"").await.expect(200);
    assert_eq!((changed.at("/version"), changed.header("etag")), ("2".to_owned(), "\"v2\""));
    let change_is_known = announced(&tenant);
    assert!(change_is_known > made, "no node is told that the role has changed");
    owner
        .patch("/v1/roles/clerk", &change)
        .header("if-match", "\"v1\"")
        .await
        .refused(412, "precondition-failed");
    for caller in [&person, &key] {
        let lost = eventually(async || caller.get("/v1/users").await, |answer| answer.status != 200).await;
        lost.refused(403, "insufficient-permission");
        caller.get("/v1/usage").await.expect(200);
        assert_eq!(permissions(caller).await, json!(["read:usage"]));
    }
    // What changes nothing makes no version.
    let same = owner.patch("/v1/roles/clerk", &change).await.expect(200);
    assert_eq!(same.header("etag"), "\"v2\"");
    let empty = owner.patch("/v1/roles/clerk", &json!({})).await.expect(200);
    assert_eq!(empty.header("etag"), "\"v2\"");
    assert_eq!(announced(&tenant), change_is_known);
    let description = owner.patch("/v1/roles/clerk", &json!({ "description": "New." })).await.expect(200);
    assert_eq!(
        (description.at("/permissions"), description.header("etag")),
        (r#"["read:usage"]"#.to_owned(), "\"v3\"")
    );
}

#[tokio::test]
async fn what_cannot_be_in_a_role_is_named() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let body = json!({
        "name": "Chef",
        "description": "a\u{0}b",
        "permissions": ["read:users", "read:usres", "*", "read:re*", "read:users", "write:tenants", "read:unicorns", "*:user"],
    });
    let refused = owner.post("/v1/roles", &body).await.refused(422, "validation-failed").json();
    let told: Vec<String> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| format!("{}: {}", error["pointer"].as_str().unwrap(), error["detail"].as_str().unwrap()))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    /name: must be a lower-case letter, then at most 30 lower-case letters, digits and underscores
    /description: must not contain control characters
    /permissions/1: must be a permission that exists, like read:users
    /permissions/2: must be action:resource like read:users, in lower-case letters, digits and underscores, at most 64 bytes; * may stand for all of either, as in read:*, *:users and *:*
    /permissions/3: must be action:resource like read:users, in lower-case letters, digits and underscores, at most 64 bytes; * may stand for all of either, as in read:*, *:users and *:*
    /permissions/4: is in the list already
    /permissions/5: is a permission of operators, which no role of a tenant holds
    /permissions/6: must be a permission that exists, one of those that the role owner holds
    /permissions/7: must be a permission that exists, like *:users
    ");
    for name in ["", "clérk", "ｃlerk", "clerk\u{200b}", "clerk ", "c-k", &"c".repeat(32)] {
        let body = json!({ "name": name, "permissions": [] });
        let refused = owner.post("/v1/roles", &body).await.refused(422, "validation-failed");
        assert_eq!(refused.at("/errors/0/pointer"), "/name", "{name}");
    }
    for taken in ["owner", "admin", "developer", "read_only", "support", "billing", "bulkhead_auditor"] {
        let refused = owner.post("/v1/roles", &json!({ "name": taken, "permissions": [] })).await;
        let refused = refused.refused(422, "validation-failed");
        assert_eq!(
            refused.at("/errors/0/detail"),
            "must not be the name of a built-in role, nor begin with bulkhead_",
            "{taken}"
        );
    }
    let many: Vec<String> = (0..10_000).map(|number| format!("read:r{number}")).collect();
    for body in [
        json!({ "name": "many", "permissions": many }),
        json!({ "name": "many", "permissions": &many[..101] }),
    ] {
        let refused = owner.post("/v1/roles", &body).await.refused(422, "validation-failed");
        assert_eq!(
            refused.json()["errors"],
            json!([{ "pointer": "/permissions", "detail": "must have 0 to 100 items" }])
        );
    }
    for name in ["owner", "admin", "developer", "read_only"] {
        let path = format!("/v1/roles/{name}");
        owner.patch(&path, &json!({ "permissions": [] })).await.refused(409, "wrong-state");
        owner.delete(&path).await.refused(409, "wrong-state");
    }
    for no_role in ["Owner", "own%20er", "x", "clérk"] {
        owner.get(&format!("/v1/roles/{no_role}")).await.refused(404, "not-found");
    }
    assert_eq!(tenant.count("roles"), 0);
    // All that is wrong is told at once, also a role that does not exist.
    let body = json!({ "email": "nobody", "password": "short", "role": "clerk" });
    let refused = owner.post("/v1/users", &body).await.refused(422, "validation-failed").json();
    let pointers: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!(pointers, ["/email", "/password", "/role"]);
    let body = json!({ "name": "", "role": "clerk" });
    let refused = owner.post("/v1/api-keys", &body).await.refused(422, "validation-failed").json();
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2, "{refused}");
    let body = json!({ "name": "a program", "role": "clerk" });
    owner.post("/v1/api-keys", &body).await.refused(422, "validation-failed");
}

#[tokio::test]
async fn a_tenant_has_fifty_roles() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    system.sql(&format!(
        "INSERT INTO {}.roles SELECT 'r' || n, '', '{{}}', 1, now(), now(), '' FROM generate_series(1, 49) n",
        tenant.schema()
    ));
    role(&tenant, "last", &[]).await;
    let body = json!({ "name": "one_more", "permissions": [] });
    let refused = tenant.owner.caller.post("/v1/roles", &body).await.refused(409, "wrong-state");
    assert_eq!(
        refused.at("/detail"),
        "A tenant has at most 50 roles of its own. Remove one that is not used."
    );
    let listed = tenant.owner.caller.get("/v1/roles").await.expect(200).json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 54);
    tenant.owner.caller.delete("/v1/roles/r7").await.expect(204);
    tenant.owner.caller.post("/v1/roles", &body).await.expect(201);
}

#[tokio::test]
async fn no_role_hands_on_what_it_does_not_hold() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let admin = tenant.person(RoleName::ADMIN).await.caller;
    let refused = async |caller: &Caller<'_>, method: &str, path: &str, body: Value, lacking: &str| {
        let refused = caller.call(method, path).json(&body).await.refused(403, "role-not-grantable");
        let told = refused.at("/detail");
        assert!(
            told.ends_with(&format!(", as it does not hold {lacking} itself.")),
            "{method} {path}: {told}"
        );
    };
    let named = |name: &str, permissions: &[&str]| json!({ "name": name, "permissions": permissions });
    // An administrator lacks one permission of an owner, and what will come.
    refused(&admin, "POST", "/v1/roles", named("a", &["read:users", "write:owners"]), "write:owners").await;
    refused(&admin, "POST", "/v1/roles", named("a", &["read:*"]), "read:*").await;
    refused(&admin, "POST", "/v1/roles", named("a", &["*:*"]), "write:owners").await;
    admin.post("/v1/roles", &named("mine", &["read:users", "read:audit"])).await.expect(201);
    refused(&admin, "PATCH", "/v1/roles/mine", json!({ "permissions": ["*:users"] }), "*:users").await;

    let lead = ["read:roles", "write:roles", "read:users", "write:users", "write:api_keys", "read:audit"];
    role(&tenant, "lead", &lead).await;
    role(&tenant, "all", &["*:*"]).await;
    role(&tenant, "reader", &["read:*"]).await;
    let (person, key) = (tenant.person("lead").await, tenant.key("lead").await.caller);
    for caller in [&person.caller, &key] {
        // No caller raises the definition of their own role, nor of another one.
        let raised = [&lead[..], &["read:jobs"]].concat();
        let raised = json!({ "permissions": raised });
        refused(caller, "PATCH", "/v1/roles/lead", raised.clone(), "read:jobs").await;
        refused(caller, "PATCH", "/v1/roles/mine", json!({ "permissions": ["read:jobs"] }), "read:jobs")
            .await;
        // Nor changes or removes a role that holds more, not even to make it hold less.
        refused(caller, "PATCH", "/v1/roles/reader", json!({ "permissions": [] }), "read:api_keys").await;
        refused(caller, "DELETE", "/v1/roles/reader", json!({}), "read:api_keys").await;
        let user = |role: &str| json!({ "email": format!("{}@example.com", unique()), "password": "correct horse", "role": role });
        for (role, lacking) in
            [("developer", "read:api_keys"), ("all", "write:owners"), ("reader", "read:api_keys")]
        {
            refused(caller, "POST", "/v1/users", user(role), lacking).await;
            refused(caller, "POST", "/v1/api-keys", json!({ "name": "a", "role": role }), lacking).await;
            let victim = format!("/v1/users/{}", tenant.person(role).await.id);
            refused(caller, "PATCH", &victim, json!({ "role": "mine" }), lacking).await;
            caller.delete(&victim).await.refused(403, "role-not-grantable");
            let key = format!("/v1/api-keys/{}", tenant.key(role).await.id);
            caller.delete(&key).await.refused(403, "role-not-grantable");
        }
        caller.post("/v1/users", &user("mine")).await.expect(201);
        let made = caller.post("/v1/api-keys", &json!({ "name": "a", "role": "mine" })).await.expect(201);
        caller.delete(&format!("/v1/api-keys/{}", made.at("/id"))).await.expect(204);
        let name = format!("r{}", unique());
        caller.post("/v1/roles", &named(&name, &["read:users"])).await.expect(201);
        caller.delete(&format!("/v1/roles/{name}")).await.expect(204);
    }
    // Those with a wildcard hand on what it stands for.
    let all = tenant.person("all").await.caller;
    all.post("/v1/roles", &named("users", &["*:users", "read:*"])).await.expect(201);
    let reading = tenant.person("reader").await.caller;
    reading.post("/v1/roles", &named("x", &[])).await.refused(403, "insufficient-permission");
    owner.patch("/v1/roles/lead", &json!({ "permissions": ["read:users"] })).await.expect(200);
    // The caller's token and key are as good as before; what their role holds now decides.
    for caller in [&person.caller, &key] {
        let body = json!({ "email": format!("{}@example.com", unique()), "password": "correct horse", "role": "mine" });
        caller.post("/v1/users", &body).await.refused(403, "insufficient-permission");
    }
}

/// Each of two who take the other's role away at the same moment would win, if the roles in their tokens counted.
#[tokio::test]
async fn of_two_who_demote_each_other_one_wins() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let demoted = json!({ "role": "read_only" });
    for _ in 0..10 {
        let (a, b) = (tenant.person(RoleName::ADMIN).await, tenant.person(RoleName::ADMIN).await);
        let (path_of_a, path_of_b) = (format!("/v1/users/{}", a.id), format!("/v1/users/{}", b.id));
        let (first, second) =
            tokio::join!(a.caller.patch(&path_of_b, &demoted), b.caller.patch(&path_of_a, &demoted));
        let statuses = [first.status, second.status];
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().any(|status| [401, 403].contains(status)), "{statuses:?}");
        let roles = [owner.get(&path_of_a).await.at("/role"), owner.get(&path_of_b).await.at("/role")];
        assert_eq!(roles.iter().filter(|role| *role == "admin").count(), 1, "{roles:?}");
    }
}

/// An extension that was removed leaves its permissions in roles. A newer program, beside which this one runs, writes others.
#[tokio::test]
async fn a_permission_that_does_not_exist_any_more_stays_and_holds_nothing() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    role(&tenant, "clerk", &["read:users"]).await;
    let schema = tenant.schema();
    system
        .sql(&format!("UPDATE {schema}.roles SET permissions = '{{read:users,write:unicorns,*:unicorns}}'"));
    let shown = owner.get("/v1/roles/clerk").await.expect(200).json();
    assert_eq!(shown["permissions"], json!(["read:users", "write:unicorns", "*:unicorns"]));
    assert_eq!(shown["effective_permissions"], json!(["read:users"]));
    let person = tenant.person("clerk").await.caller;
    assert_eq!(permissions(&person).await, json!(["read:users"]));
    // It may be kept, beside something new, and taken out; not put in.
    let kept = json!({ "permissions": ["write:unicorns", "read:usage"] });
    let changed = owner.patch("/v1/roles/clerk", &kept).await.expect(200).json();
    assert_eq!(
        (&changed["permissions"], &changed["effective_permissions"]),
        (&kept["permissions"], &json!(["read:usage"]))
    );
    let again = json!({ "permissions": ["*:unicorns"] });
    owner.patch("/v1/roles/clerk", &again).await.refused(422, "validation-failed");
    // What it will hold once it exists again, an administrator may never have had.
    let admin = tenant.person(RoleName::ADMIN).await.caller;
    let user =
        json!({ "email": format!("{}@example.com", unique()), "password": "correct horse", "role": "clerk" });
    admin.post("/v1/users", &user).await.refused(403, "role-not-grantable");
}

/// People whose role a newer version has written would have what the tenant defines under its name.
#[tokio::test]
async fn a_role_is_not_made_for_those_who_have_one_of_its_name() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let person = tenant.person(RoleName::READ_ONLY).await;
    system.sql(&format!("UPDATE {}.users SET role = 'auditor' WHERE role = 'read_only'", tenant.schema()));
    let body = json!({ "name": "auditor", "permissions": ["read:audit"] });
    let owner = &tenant.owner.caller;
    owner.post("/v1/roles", &body).await.refused(409, "wrong-state");
    owner.patch(&format!("/v1/users/{}", person.id), &json!({ "role": "read_only" })).await.expect(200);
    owner.post("/v1/roles", &body).await.expect(201);
}

#[tokio::test]
async fn a_repeated_request_is_answered_as_it_was_when_its_role_is_no_more() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    role(&tenant, "clerk", &["read:users"]).await;
    let user =
        json!({ "email": format!("{}@example.com", unique()), "password": "correct horse", "role": "clerk" });
    let ask = || owner.post("/v1/users", &user).header("idempotency-key", "once");
    let made = ask().await.expect(201);
    owner.delete(made.header("location")).await.expect(204);
    owner.delete("/v1/roles/clerk").await.expect(204);
    let again = ask().await.expect(201);
    assert_eq!((again.header("idempotent-replayed"), again.json()), ("true", made.json()));
}

/// A change of who may do what is a line in this file.
#[tokio::test]
async fn who_may_do_what_is_written_down_printed_and_shown() {
    let system = System::shared().await;
    let printed = bulkhead(&["roles", "--markdown"], &[], "");
    assert!(printed.success, "{printed:?}");
    let written = include_str!("../../../../openapi/roles.md");
    for (now, before) in printed.out.lines().zip(written.lines()) {
        assert_eq!(now, before, "cargo xtask openapi writes openapi/roles.md anew");
    }
    assert_eq!(printed.out, written, "cargo xtask openapi writes openapi/roles.md anew");
    let document = system.anonymous().get("/openapi.json").unchecked().await.expect(200).json();
    let about = document["info"]["description"].as_str().unwrap();
    assert!(about.trim_end().ends_with(printed.out.trim_end()), "{about}");
}
