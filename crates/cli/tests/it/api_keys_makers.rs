//! Keys and those who answer for them: what becomes of keys when that one is demoted, removed or revoked.

use bulkhead_domain::{ApiKeyId, RoleName};
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

/// A wildcard stands for what it will cover one day: only one whose own role covers it answers for a key with it.
#[tokio::test]
async fn nobody_keeps_a_key_whose_role_they_could_not_give() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let role = json!({ "name": "meters", "description": "", "permissions": ["*:usage", "write:api_keys"] });
    owner.post("/v1/roles", &role).await.expect(201);
    let (maker, admin) = (tenant.person("meters").await, tenant.person(RoleName::ADMIN).await);
    let key = make(system, &maker.caller, of("meters")).await;
    let path = format!("/v1/users/{}", maker.id);
    // As a developer they hold all that the key holds today.
    owner.patch(&path, &json!({ "role": "developer" })).await.expect(200);
    let keep = json!({ "role": "read_only", "api_keys": "keep" });
    admin.caller.patch(&path, &keep).await.refused(403, "role-not-grantable");
    assert_eq!(granted_by(owner, &key).await, maker.id);
    let kept = owner.patch(&path, &keep).await.expect(200);
    assert_eq!(concerned(&kept), outcomes(&[(&key, "kept")]));
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
    // The node remembers it when its maker goes.
    other.holds("read:usage", true).await;
    let gone = owner.delete(&maker.path()).await.expect(200);
    assert_eq!(concerned(&gone), outcomes(&[(&other, "disabled")]));
    other.is_refused().await;
    owner.delete(&below.path()).await.expect(204);
    owner.delete(&maker.path()).await.expect(204);
}

/// What a key holds at most is what all above it hold, and so is what it is kept with.
#[tokio::test]
async fn a_kept_key_holds_no_more_than_all_above_it_have_held() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let set = |key: &Program<'_>, change: &str| {
        let uuid = key.id.parse::<ApiKeyId>().unwrap().uuid();
        system.sql(&format!("UPDATE {}.api_keys SET {change} WHERE id = '{uuid}'", tenant.schema()))
    };
    let kept_with = async |above: &Program<'_>, key: &Program<'_>| -> Vec<String> {
        let kept = owner.delete(&format!("{}?api_keys=keep", above.path())).await.expect(200);
        assert_eq!(concerned(&kept), outcomes(&[(key, "kept")]));
        let scopes = owner.get(&key.path()).await.expect(200).json()["scopes"].clone();
        serde_json::from_value::<Option<_>>(scopes).unwrap().expect("it was not narrowed")
    };
    // The person at the top was lowered.
    let maker = tenant.person(RoleName::ADMIN).await;
    let first = make(system, &maker.caller, of("admin")).await;
    let last = make(system, &first.caller, of("admin")).await;
    owner.patch(&format!("/v1/users/{}", maker.id), &json!({ "role": "developer" })).await.expect(200);
    let scopes = kept_with(&first, &last).await;
    assert!(scopes.contains(&"read:users".to_owned()) && !scopes.contains(&"write:users".to_owned()));
    last.holds("read:users", true).await;
    last.holds("write:users", false).await;
    // The key that goes has scopes, one further up has them, and one further up is disabled.
    let scopes = "scopes = '{read:users}'";
    for (further_up, change, wanted) in [
        (false, scopes, &["read:users"][..]),
        (true, scopes, &["read:users"]),
        (true, "disabled_at = now()", &[]),
    ] {
        let first = make(system, owner, of("admin")).await;
        let second = make(system, &first.caller, of("admin")).await;
        let third = make(system, &second.caller, of("admin")).await;
        set(if further_up { &first } else { &second }, change);
        assert_eq!(kept_with(&second, &third).await, wanted);
        third.holds("write:users", false).await;
    }
}

/// A key says what it held a moment ago: what is done with it is decided by the rows of all above it.
#[tokio::test]
async fn what_a_key_hands_out_is_decided_by_the_rows() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let maker = tenant.person(RoleName::ADMIN).await;
    let above = make(system, &maker.caller, of("admin")).await;
    let key = make(system, &above.caller, of("admin")).await;
    make(system, &key.caller, of("read_only")).await;
    let uuid = |key: &Program<'_>| key.id.parse::<ApiKeyId>().unwrap().uuid();
    let (above, own) = (format!("id = '{}'", uuid(&above)), format!("id = '{}'", uuid(&key)));
    let person = format!("email = '{}'", maker.email);
    for (table, row, change, back, status, code) in [
        ("users", &person, "role = 'read_only'", "role = 'admin'", 403, "insufficient-permission"),
        ("api_keys", &above, "disabled_at = now()", "disabled_at = NULL", 403, "insufficient-permission"),
        ("api_keys", &above, "revoked_at = now()", "revoked_at = NULL", 403, "insufficient-permission"),
        ("api_keys", &above, "scopes = '{read:users}'", "scopes = NULL", 403, "insufficient-permission"),
        ("api_keys", &own, "role = 'read_only'", "role = 'admin'", 403, "insufficient-permission"),
        ("api_keys", &own, "disabled_at = now()", "disabled_at = NULL", 401, "invalid-credentials"),
        ("api_keys", &own, "revoked_at = now()", "revoked_at = NULL", 401, "invalid-credentials"),
    ] {
        // No node is told of it.
        let set =
            |change| system.sql(&format!("UPDATE {}.{table} SET {change} WHERE {row}", tenant.schema()));
        set(change);
        key.caller.post("/v1/api-keys", &of("read_only")).await.refused(status, code);
        set(back);
    }
    make(system, &key.caller, of("read_only")).await;
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
