//! Doing something once, however often it is asked for.

use bulkhead_domain::RoleName;
use serde_json::json;

use crate::support::{System, eventually, unique};

#[tokio::test]
async fn a_repeated_request_is_answered_again_and_not_done_again() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let body = json!({ "name": "once", "kind": "thing" });
    let ask = || owner.post("/v1/resources", &body).header("idempotency-key", "8e03978e-40d5");
    let first = ask().await.expect(201);
    assert_eq!(first.header("idempotent-replayed"), "");
    let again = ask().await;
    insta::assert_snapshot!(again.show(), @r#"
    201
    location: /v1/resources/res_…
    etag: "v1"
    idempotent-replayed: true
    {
      "created_at": "[time]",
      "data": {},
      "id": "res_…",
      "kind": "thing",
      "name": "once",
      "owner": "usr_…",
      "updated_at": "[time]",
      "version": 1
    }
    "#);
    assert_eq!((again.json(), again.header("location")), (first.json(), first.header("location")));
    // A key reads the same with and without the quotes of a structured field.
    let quoted = owner.post("/v1/resources", &body).header("idempotency-key", "\"8e03978e-40d5\"").await;
    assert_eq!((quoted.json(), quoted.header("idempotent-replayed")), (first.json(), "true"));
    assert_eq!((tenant.count("resources"), tenant.count("idempotency_keys")), (1, 1));

    let other = json!({ "name": "another", "kind": "thing" });
    let reused = owner.post("/v1/resources", &other).header("idempotency-key", "8e03978e-40d5").await;
    insta::assert_snapshot!(reused.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "idempotency-key-reused",
      "detail": "This Idempotency-Key was used for a different request. Use a new key.",
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:idempotency-key-reused"
    }
    "#);
    // The answer is as it was, also when the thing is gone.
    owner.delete(first.header("location")).await.expect(204);
    assert_eq!(ask().await.expect(201).json(), first.json());
    assert_eq!(tenant.count("resources"), 0);
}

#[tokio::test]
async fn a_key_is_its_callers_and_its_operations_own() {
    let system = System::shared().await;
    let (tenant, other) = (system.tenant().await, system.tenant().await);
    let person = tenant.person(RoleName::DEVELOPER).await;
    let program = tenant.key(RoleName::DEVELOPER).await;
    let body = json!({ "name": "mine", "kind": "thing" });
    for caller in [&tenant.owner.caller, &person.caller, &program.caller, &other.owner.caller] {
        let made = caller.post("/v1/resources", &body).header("idempotency-key", "same").await.expect(201);
        assert_eq!(made.header("idempotent-replayed"), "");
    }
    let key = json!({ "name": "mine", "role": "read_only" });
    let owner = &tenant.owner.caller;
    owner.post("/v1/api-keys", &key).header("idempotency-key", "same").await.expect(201);
    assert_eq!((tenant.count("resources"), other.count("resources")), (3, 1));
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_unused() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let ask = |name: &str| {
        let body = json!({ "name": name, "kind": "thing" });
        owner.post("/v1/resources", &body).header("idempotency-key", "same")
    };
    ask("").await.refused(422, "validation-failed");
    let taken = json!({ "email": tenant.owner.email, "password": "correct horse", "role": "admin" });
    let add = || owner.post("/v1/users", &taken).header("idempotency-key", "same");
    add().await.refused(409, "already-taken");
    add().await.refused(409, "already-taken");
    assert_eq!(tenant.count("idempotency_keys"), 0);
    ask("something").await.expect(201);
}

#[tokio::test]
async fn requests_with_one_key_at_the_same_moment_have_one_effect() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let body = json!({ "name": "once", "kind": "thing" });
    let asks: Vec<_> = (0..16)
        .map(|_| {
            let call = tenant.owner.caller.post("/v1/resources", &body).header("idempotency-key", "race");
            tokio::spawn(call.into_future())
        })
        .collect();
    let (mut made, mut original) = (Vec::new(), 0);
    for ask in asks {
        let answer = ask.await.unwrap();
        if answer.status == 201 {
            original += usize::from(answer.header("idempotent-replayed").is_empty());
            made.push(answer.at("/id"));
        } else {
            let answer = answer.refused(409, "idempotency-in-progress");
            assert_eq!(answer.header("retry-after"), "1");
        }
    }
    made.dedup();
    assert_eq!((original, made.len(), tenant.count("resources")), (1, 1, 1));
}

#[tokio::test]
async fn an_answer_that_showed_a_secret_is_not_given_again() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let body = json!({ "name": "once", "role": "developer" });
    let ask = || owner.post("/v1/api-keys", &body).header("idempotency-key", "once");
    let made = ask().await.expect(201);
    let again = ask().await;
    insta::assert_snapshot!(again.show(), @r#"
    409
    content-type: application/problem+json
    location: /v1/api-keys/key_…
    {
      "code": "already-completed",
      "detail": "This request was completed before, and its answer is not kept; see Location.",
      "request_id": "req_…",
      "status": 409,
      "title": "Conflict",
      "type": "urn:bulkhead:problem:already-completed"
    }
    "#);
    assert_eq!(again.header("location"), made.header("location"));
    assert_eq!(tenant.count("api_keys"), 1);
    let kept = system.sql(&format!("SELECT body IS NULL, status FROM {}.idempotency_keys", tenant.schema()));
    assert_eq!(kept, "t|201");
}

#[tokio::test]
async fn what_is_kept_holds_no_password() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let password = format!("secret-{}", unique());
    let body = json!({ "email": "once@example.com", "password": password, "role": "developer" });
    let ask = || owner.post("/v1/users", &body).header("idempotency-key", "once");
    let made = ask().await.expect(201);
    let again = ask().await.expect(201);
    assert_eq!((again.json(), again.header("idempotent-replayed")), (made.json(), "true"));
    assert_eq!(tenant.count("users"), 2);
    assert!(!tenant.rows().contains(&password));
}

#[tokio::test]
async fn an_operators_request_is_done_once_too() {
    let system = System::shared().await;
    let operator = system.operator().await;
    let slug = format!("acme-{}", unique());
    let password = format!("secret-{}", unique());
    let owner = json!({ "email": "owner@example.com", "password": password });
    let order = json!({ "slug": slug, "name": "Acme", "plan": "pro", "owner": owner });
    let key = unique();
    let ask = || operator.post("/v1/admin/tenants", &order).header("idempotency-key", &key);
    let (one, two) = tokio::join!(ask().into_future(), ask().into_future());
    let accepted: Vec<_> = [one, two].into_iter().filter(|answer| answer.status == 202).collect();
    assert!(!accepted.is_empty());
    let first = &accepted[0];
    let again = ask().await.expect(202);
    assert_eq!(
        (again.json(), again.header("location"), again.header("idempotent-replayed")),
        (first.json(), first.header("location"), "true")
    );
    let follow = async || operator.get(first.header("location")).await.expect(200);
    eventually(follow, |answer| answer.at("/done") == "true").await;
    let count = |table: &str, column: &str, text: &str| {
        system.sql(&format!("SELECT count(*) FROM platform.{table} WHERE {column} = '{text}'"))
    };
    assert_eq!(count("tenants", "slug", &slug), "1");
    assert_eq!(count("idempotency_keys", "key", &key), "1");
    let kept = system.sql(&format!("SELECT * FROM platform.idempotency_keys WHERE key = '{key}'"));
    assert!(!kept.contains(&password));
}

#[tokio::test]
async fn logging_in_pays_no_attention_to_a_key() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let login =
        json!({ "tenant": tenant.slug, "email": tenant.owner.email, "password": tenant.owner.password });
    let log_in = || system.anonymous().post("/v1/auth/login", &login).header("idempotency-key", "once");
    let (one, two) = (log_in().await.expect(200), log_in().await.expect(200));
    assert_ne!(one.at("/refresh_token"), two.at("/refresh_token"));
    assert_eq!(tenant.count("idempotency_keys"), 0);
}

#[tokio::test]
async fn a_repeated_change_or_removal_is_answered_again_too() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let made = owner.post("/v1/resources", &json!({ "name": "once", "kind": "thing" })).await.expect(201);
    let path = made.header("location").to_owned();
    let renamed = json!({ "name": "renamed" });
    let change = |version: &str| {
        owner.patch(&path, &renamed).header("if-match", version).header("idempotency-key", "change")
    };
    let first = change("\"v1\"").await.expect(200);
    assert_eq!((first.header("etag"), first.header("idempotent-replayed")), ("\"v2\"", ""));
    // Without the key the first try itself would have made the version outdated.
    let again = change("\"v1\"").await.expect(200);
    assert_eq!(
        (again.json(), again.header("etag"), again.header("idempotent-replayed")),
        (first.json(), "\"v2\"", "true")
    );
    change("\"v2\"").await.refused(422, "idempotency-key-reused");
    let remove = || owner.delete(&path).header("idempotency-key", "removal");
    assert_eq!(remove().await.expect(204).header("idempotent-replayed"), "");
    assert_eq!(remove().await.expect(204).header("idempotent-replayed"), "true");
    owner.delete(&path).await.refused(404, "not-found");
    let done = format!(
        "SELECT string_agg(action, ' ' ORDER BY id) FROM {}.audit_log WHERE target = '{}'",
        tenant.schema(),
        made.at("/id")
    );
    assert_eq!(system.sql(&done), "create_resource update_resource delete_resource");
    assert_eq!(tenant.count("idempotency_keys"), 2);
}

#[tokio::test]
async fn a_post_without_a_body_stands_for_the_version_that_it_names() {
    let system = System::shared().await;
    let operator = system.operator().await;
    let tenant = system.tenant().await;
    let path = format!("/v1/admin/tenants/{}", tenant.id);
    let version = operator.get(&path).await.expect(200).header("etag").to_owned();
    let key = unique();
    let suspend = |version: &str| {
        let call = operator.post_nothing(&format!("{path}/suspend"));
        call.header("if-match", version).header("idempotency-key", &key)
    };
    suspend(&version).await.expect(200);
    assert_eq!(suspend(&version).await.expect(200).header("idempotent-replayed"), "true");
    suspend("\"v99\"").await.refused(422, "idempotency-key-reused");
}
