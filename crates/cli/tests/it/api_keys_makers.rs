//! Keys and those who answer for them: what becomes of keys when that one is demoted, removed or revoked.

use bulkhead_domain::RoleName;
use serde_json::{Value, json};

use crate::support::{Answer, Caller, System, Tenant, eventually};

/// A key and the program that uses it.
struct Program<'a> {
    id: String,
    caller: Caller<'a>,
}

async fn make<'a>(system: &'a System, by: &Caller<'_>, body: Value) -> Program<'a> {
    let made = by.post("/v1/api-keys", &body).await.expect(201);
    Program { id: made.at("/id"), caller: system.anonymous().with_key(&made.at("/key")) }
}

fn of(role: &str) -> Value {
    json!({ "name": format!("of {role}"), "role": role })
}

/// What has become of which key, as the answer names them.
fn concerned(answer: &Answer) -> Vec<(String, String)> {
    let body = answer.json();
    let keys = body["api_keys"]["data"].as_array().cloned().unwrap_or_default();
    let total = body["api_keys"]["total"].as_u64().unwrap_or(0);
    assert_eq!(usize::try_from(total).unwrap(), keys.len());
    let text = |key: &Value, member: &str| key[member].as_str().unwrap().to_owned();
    keys.iter().map(|key| (text(key, "id"), text(key, "outcome"))).collect()
}

fn outcomes(keys: &[(&Program<'_>, &str)]) -> Vec<(String, String)> {
    keys.iter().map(|(key, outcome)| (key.id.clone(), (*outcome).to_owned())).collect()
}

impl Program<'_> {
    /// Waits until it is let in and has this permission, or has not.
    async fn holds(&self, permission: &str, wanted: bool) {
        let me = async || self.caller.get("/v1/me").await;
        let holds = |answer: &Answer| {
            let body = answer.json();
            body["permissions"].as_array().is_some_and(|held| held.iter().any(|one| one == permission))
        };
        eventually(me, |answer| answer.status == 200 && holds(answer) == wanted).await;
    }

    async fn is_refused(&self) {
        eventually(async || self.caller.get("/v1/me").await, |answer| answer.status == 401).await;
    }

    fn path(&self) -> String {
        format!("/v1/api-keys/{}", self.id)
    }
}

async fn granted_by(owner: &Caller<'_>, key: &Program<'_>) -> String {
    owner.get(&key.path()).await.expect(200).at("/granted_by")
}

fn audited(system: &System, tenant: &Tenant<'_>, action: &str) -> Value {
    let query = format!(
        "SELECT changes FROM {}.audit_log WHERE action = '{action}' ORDER BY id DESC LIMIT 1",
        tenant.schema()
    );
    serde_json::from_str(&system.sql(&query)).unwrap()
}

#[tokio::test]
async fn keys_fall_and_rise_with_the_person_who_has_made_them() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let maker = tenant.person(RoleName::ADMIN).await;
    let admin = make(system, &maker.caller, of("admin")).await;
    let reader = make(system, &maker.caller, of("read_only")).await;
    let below = make(system, &admin.caller, of("admin")).await;
    for key in [&admin, &below] {
        key.holds("write:users", true).await;
    }
    let path = format!("/v1/users/{}", maker.id);
    let lowered = owner.patch(&path, &json!({ "role": "developer" })).await.expect(200);
    assert_eq!(concerned(&lowered), outcomes(&[(&admin, "lowered"), (&below, "lowered")]));
    assert_eq!(audited(system, &tenant, "update_user")["api_keys"]["keys"][&admin.id], "lowered");
    for key in [&admin, &below] {
        key.holds("write:users", false).await;
        key.holds("read:users", true).await;
        key.caller.get("/v1/users").await.expect(200);
        let body =
            json!({ "email": "x@example.com", "password": "a long sentence of words", "role": "read_only" });
        key.caller.post("/v1/users", &body).await.refused(403, "insufficient-permission");
    }
    reader.holds("read:usage", true).await;
    // Lower than every key.
    let lowered = owner.patch(&path, &json!({ "role": "read_only", "api_keys": "lower" })).await.expect(200);
    assert_eq!(concerned(&lowered), outcomes(&[(&admin, "lowered"), (&below, "lowered")]));
    below.holds("read:users", false).await;
    let raised = owner.patch(&path, &json!({ "role": "owner" })).await.expect(200);
    assert_eq!(concerned(&raised), outcomes(&[(&admin, "raised"), (&below, "raised")]));
    below.holds("write:users", true).await;
    below.holds("write:owners", false).await;
    // Nobody's keys: the answer does not speak of any.
    let other = tenant.person(RoleName::ADMIN).await;
    let alone =
        owner.patch(&format!("/v1/users/{}", other.id), &json!({ "role": "developer" })).await.expect(200);
    assert!(alone.json().get("api_keys").is_none(), "{}", alone.show());
    owner.patch(&path, &json!({ "role": "admin", "api_keys": "burn" })).await.refused(422, "invalid-body");
}

#[tokio::test]
async fn keys_fall_with_a_role_of_the_tenants_own() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let role = json!({ "name": "lead", "description": "", "permissions": ["read:users", "*:api_keys"] });
    owner.post("/v1/roles", &role).await.expect(201);
    let maker = tenant.person("lead").await;
    let key = make(system, &maker.caller, of("lead")).await;
    key.holds("read:users", true).await;
    owner.patch("/v1/roles/lead", &json!({ "permissions": ["*:api_keys"] })).await.expect(200);
    key.holds("read:users", false).await;
    key.holds("read:api_keys", true).await;
}

#[tokio::test]
async fn a_removed_persons_keys_are_disabled_and_somebody_may_answer_for_them() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let maker = tenant.person(RoleName::ADMIN).await;
    let key = make(system, &maker.caller, of("admin")).await;
    let below = make(system, &key.caller, of("developer")).await;
    let path = format!("/v1/users/{}", maker.id);
    owner.delete(&format!("{path}?api_keys=lower")).await.refused(400, "invalid-parameter");
    let removed = owner.delete(&path).await;
    let mut shown = removed.clone();
    let mut body = shown.json();
    body["api_keys"]["data"][0]["id"] = json!("key_…");
    body["api_keys"]["data"][1]["id"] = json!("key_…");
    shown.body = body.to_string();
    insta::assert_snapshot!(shown.show(), @r#"
        200
        {
          "api_keys": {
            "data": [
              {
                "id": "key_…",
                "name": "of admin",
                "outcome": "disabled"
              },
              {
                "id": "key_…",
                "name": "of developer",
                "outcome": "disabled"
              }
            ],
            "total": 2
          }
        }
        "#);
    assert_eq!(concerned(&removed), outcomes(&[(&key, "disabled"), (&below, "disabled")]));
    for key in [&key, &below] {
        key.is_refused().await;
        assert_ne!(owner.get(&key.path()).await.expect(200).at("/disabled_at"), "null");
    }
    // The one who enables it answers for it, which a program cannot.
    let enable = format!("{}/enable", key.path());
    let program = make(system, owner, of("owner")).await;
    program.caller.post_nothing(&enable).await.refused(403, "person-required");
    let developer = tenant.person(RoleName::DEVELOPER).await;
    developer.caller.post_nothing(&enable).await.refused(403, "role-not-grantable");
    let enabled = owner.post_nothing(&enable).await.expect(200);
    assert_eq!(enabled.at("/granted_by"), tenant.owner.id);
    assert_eq!(enabled.at("/created_by"), maker.id);
    key.holds("write:users", true).await;
    below.is_refused().await;
    // The other one's maker is there again.
    let again = owner.post_nothing(&format!("{}/enable", below.path())).await.expect(200);
    assert_eq!(again.at("/granted_by"), key.id);
    below.holds("read:users", true).await;
}

#[tokio::test]
async fn nobody_keeps_what_they_could_not_grant() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let (maker, admin) = (tenant.person(RoleName::OWNER).await, tenant.person(RoleName::ADMIN).await);
    let key = make(system, &maker.caller, of("owner")).await;
    let path = format!("/v1/users/{}", maker.id);
    let keep = |role: &str| json!({ "role": role, "api_keys": "keep" });
    // A person cannot keep their own keys above what they fall to, nor can a program keep any.
    maker.caller.patch(&path, &keep("admin")).await.refused(409, "wrong-state");
    maker.caller.delete(&format!("{path}?api_keys=keep")).await.refused(409, "wrong-state");
    let program = make(system, owner, of("owner")).await;
    program.caller.patch(&path, &keep("admin")).await.refused(403, "person-required");
    program.caller.delete(&format!("{path}?api_keys=keep")).await.refused(403, "person-required");
    key.caller.delete(&format!("{path}?api_keys=keep")).await.refused(403, "person-required");
    // The maker falls to an administrator, their key with them: an administrator cannot raise it again by keeping it.
    owner.patch(&path, &json!({ "role": "admin" })).await.expect(200);
    key.holds("write:owners", false).await;
    let kept = admin.caller.patch(&path, &keep("developer")).await.expect(200);
    assert_eq!(concerned(&kept), outcomes(&[(&key, "kept")]));
    key.holds("write:users", true).await;
    let read = owner.get(&key.path()).await.expect(200);
    assert_eq!((read.at("/granted_by"), read.at("/created_by")), (admin.id.clone(), maker.id.clone()));
    assert!(!read.json()["scopes"].as_array().unwrap().contains(&json!("write:owners")), "{}", read.show());
    // It does not rise either when an owner answers for it.
    let admins = format!("/v1/users/{}", admin.id);
    owner.delete(&format!("{admins}?api_keys=keep")).await.expect(200);
    key.holds("write:users", true).await;
    key.holds("write:owners", false).await;
    assert_eq!(granted_by(owner, &key).await, tenant.owner.id);
    // A person who may change people and not make keys keeps none.
    let role = json!({ "name": "porter", "description": "", "permissions": ["read:users", "write:users"] });
    owner.post("/v1/roles", &role).await.expect(201);
    let porter = tenant.person("porter").await;
    let role = json!({ "name": "keyed", "description": "", "permissions": ["read:users", "write:api_keys"] });
    owner.post("/v1/roles", &role).await.expect(201);
    owner
        .patch("/v1/roles/porter", &json!({ "permissions": ["read:users", "write:users", "write:api_keys"] }))
        .await
        .expect(200);
    let second = tenant.person("keyed").await;
    let kept = make(system, &second.caller, of("keyed")).await;
    owner
        .patch("/v1/roles/porter", &json!({ "permissions": ["read:users", "write:users"] }))
        .await
        .expect(200);
    owner.patch("/v1/roles/keyed", &json!({ "permissions": ["read:users"] })).await.expect(200);
    let seconds = format!("/v1/users/{}?api_keys=keep", second.id);
    eventually(async || porter.caller.delete(&seconds).await, |answer| answer.status == 403)
        .await
        .refused(403, "insufficient-permission");
    assert_eq!(granted_by(owner, &kept).await, second.id);
}

#[tokio::test]
async fn the_caller_may_disable_all_keys_of_one_who_is_demoted() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let maker = tenant.person(RoleName::ADMIN).await;
    let key = make(system, &maker.caller, of("read_only")).await;
    let path = format!("/v1/users/{}", maker.id);
    let body = json!({ "role": "developer", "api_keys": "disable" });
    let changed = owner.patch(&path, &body).await.expect(200);
    assert_eq!(concerned(&changed), outcomes(&[(&key, "disabled")]));
    key.is_refused().await;
    // The maker is there still and answers for it when it is enabled.
    let enabled = owner.post_nothing(&format!("{}/enable", key.path())).await.expect(200);
    assert_eq!(enabled.at("/granted_by"), maker.id);
    key.holds("read:usage", true).await;
}

#[tokio::test]
async fn keys_that_were_made_by_a_key_end_with_it_or_are_kept() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let maker = make(system, owner, of("admin")).await;
    let (one, other) = (
        make(system, &maker.caller, of("developer")).await,
        make(system, &maker.caller, of("developer")).await,
    );
    let below = make(system, &one.caller, of("read_only")).await;
    // As long as it is disabled they hold nothing, and are let in.
    owner.post_nothing(&format!("{}/disable", maker.path())).await.expect(200);
    for key in [&one, &other, &below] {
        key.holds("read:usage", false).await;
    }
    owner.post_nothing(&format!("{}/enable", maker.path())).await.expect(200);
    below.holds("read:usage", true).await;
    let kept = owner.delete(&format!("{}?api_keys=keep", one.path())).await.expect(200);
    assert_eq!(concerned(&kept), outcomes(&[(&below, "kept")]));
    below.holds("read:usage", true).await;
    assert_eq!(granted_by(owner, &below).await, tenant.owner.id);
    let gone = owner.delete(&maker.path()).await.expect(200);
    assert_eq!(concerned(&gone), outcomes(&[(&other, "disabled")]));
    other.is_refused().await;
    owner.delete(&below.path()).await.expect(204);
    owner.delete(&maker.path()).await.expect(204);
}

#[tokio::test]
async fn a_key_gives_roles_within_its_scopes_and_within_its_maker() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let maker = tenant.person(RoleName::ADMIN).await;
    let scoped = json!({ "name": "a", "role": "admin", "scopes": ["*:users", "*:api_keys", "read:roles"] });
    let scoped = make(system, &maker.caller, scoped).await;
    let person = |role: &str| json!({ "email": format!("new-{role}@{}.example", tenant.slug), "password": "a long sentence of words", "role": role });
    // It may add people, and its role may make developers, but it does not hold what a developer does.
    scoped.caller.post("/v1/users", &person("developer")).await.refused(403, "role-not-grantable");
    scoped.caller.post("/v1/api-keys", &of("developer")).await.refused(403, "role-not-grantable");
    // What is left of a role may be given.
    let narrow = json!({ "name": "b", "role": "developer", "scopes": ["read:users"] });
    make(system, &scoped.caller, narrow).await.holds("read:users", true).await;
    // A role with a wildcard is for those alone all of whose bounds cover it: a person who is an administrator covers none.
    let role = json!({ "name": "people", "description": "", "permissions": ["*:users"] });
    tenant.owner.caller.post("/v1/roles", &role).await.expect(201);
    scoped.caller.post("/v1/users", &person("people")).await.refused(403, "role-not-grantable");
    // The key of an owner who has become an administrator makes no owner.
    let second = tenant.person(RoleName::OWNER).await;
    let key = make(system, &second.caller, of("owner")).await;
    tenant
        .owner
        .caller
        .patch(&format!("/v1/users/{}", second.id), &json!({ "role": "admin" }))
        .await
        .expect(200);
    key.caller.post("/v1/users", &person("owner")).await.refused(403, "role-not-grantable");
}
