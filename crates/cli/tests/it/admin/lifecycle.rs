//! Customers who leave, come back, or were never built.

use bulkhead_domain::{RoleName, TenantId};
use serde_json::{Value, json};

use crate::support::{Answer, MakesResources, System, create_tenant, eventually, this_month, unique};

fn order(slug: &str) -> Value {
    let owner = json!({ "email": "owner@example.com", "password": "correct horse battery staple" });
    json!({ "slug": slug, "name": "Acme Corporation", "plan": "pro", "owner": owner })
}

fn uuid(id: &str) -> String {
    id.parse::<TenantId>().unwrap().uuid().to_string()
}

/// The time that a deleted tenant is kept is over, and the job that looks for such tenants is due.
fn let_time_pass(system: &System, id: &str) {
    system.sql(&format!(
        "UPDATE platform.tenants SET purge_after = now() WHERE id = '{}'; \
         UPDATE platform.jobs SET run_at = now() WHERE kind = 'sweep_tenants' AND state = 'queued'",
        uuid(id)
    ));
}

fn audited(system: &System, id: &str) -> String {
    system.sql(&format!(
        "SELECT string_agg(action, ' ' ORDER BY id) FROM platform.audit_log WHERE target = '{id}'"
    ))
}

#[tokio::test]
async fn a_deleted_tenant_is_shut_out_at_once_kept_and_brought_back_whole() {
    let system = System::shared().await;
    let (tenant, neighbour) = (system.tenant().await, system.tenant().await);
    let operator = system.operator().await;
    let anybody = system.anonymous();
    let key = tenant.key(RoleName::ADMIN).await;
    tenant.resource("a thing").await;
    key.caller.get("/v1/me").await.expect(200);
    let path = format!("/v1/admin/tenants/{}", tenant.id);
    let read = operator.get(&path).await.expect(200);
    // A key's use is noted once in a minute, a moment after it: not amidst this.
    system.sql(&format!("UPDATE {}.api_keys SET last_used_at = now()", tenant.schema()));
    let rows = tenant.rows();

    operator.delete(&path).header("if-match", "\"v1\"").await.refused(412, "precondition-failed");
    let deleted = operator.delete(&path).header("if-match", read.header("etag")).await;
    insta::assert_snapshot!(deleted.show(), @r#"
    200
    etag: "v3"
    {
      "created_at": "[time]",
      "deleted_at": "[time]",
      "id": "ten_…",
      "name": "Acme Corporation",
      "plan": "enterprise",
      "purge_after": "[time]",
      "purged_at": null,
      "slug": "acme",
      "status": "deleted",
      "updated_at": "[time]",
      "version": 3
    }
    "#);
    // A second deletion changes nothing. A version that was read before the first one is out of date.
    let again = operator.delete(&path).await.expect(200);
    assert_eq!((again.json(), again.header("etag")), (deleted.json(), deleted.header("etag")));
    operator.delete(&path).header("if-match", read.header("etag")).await.refused(412, "precondition-failed");
    assert_eq!(audited(system, &tenant.id), "create_tenant delete_tenant");

    // Every kind of credential, on every node, within seconds.
    let by_key = async || key.caller.get("/v1/me").await;
    eventually(by_key, |answer| answer.status != 200).await.refused(401, "invalid-credentials");
    let by_token = async || tenant.owner.caller.get("/v1/me").await;
    eventually(by_token, |answer| answer.status != 200).await.refused(401, "invalid-credentials");
    let login =
        json!({ "tenant": tenant.slug, "email": tenant.owner.email, "password": tenant.owner.password });
    anybody.post("/v1/auth/login", &login).await.refused(401, "login-failed");
    let refresh = json!({ "refresh_token": tenant.owner.refresh_token });
    anybody.post("/v1/auth/refresh", &refresh).await.refused(401, "invalid-credentials");
    neighbour.owner.caller.get("/v1/me").await.expect(200);

    // An operator whose `If-Match` is from before the deletion is told so first, whatever it has asked for.
    for action in ["suspend", "activate", "restore", "retry"] {
        let call = operator.post_nothing(&format!("{path}/{action}")).header("if-match", read.header("etag"));
        call.await.refused(412, "precondition-failed");
    }
    let stale = operator.patch(&path, &json!({ "name": "x" })).header("if-match", read.header("etag"));
    stale.await.refused(412, "precondition-failed");

    // It can be brought back and nothing else; its name stays its own.
    for action in ["suspend", "activate", "retry"] {
        operator.post_nothing(&format!("{path}/{action}")).await.refused(409, "wrong-state");
    }
    let refused = operator.patch(&path, &json!({ "name": "x" })).await.refused(409, "wrong-state");
    assert_eq!(refused.at("/detail"), "The tenant is deleted. Restore it first.");
    operator.post("/v1/admin/tenants", &order(&tenant.slug)).await.refused(409, "already-taken");
    assert_eq!(tenant.rows(), rows);
    let listed = operator.get("/v1/admin/tenants?status=deleted&limit=100").await.expect(200);
    assert!(listed.body.contains(&tenant.id), "{}", listed.body);

    let restored = operator.post_nothing(&format!("{path}/restore")).await;
    insta::assert_snapshot!(restored.show(), @r#"
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
    let again = operator.post_nothing(&format!("{path}/restore")).await.expect(200);
    assert_eq!((again.json(), again.header("etag")), (restored.json(), restored.header("etag")));
    assert_eq!(audited(system, &tenant.id), "create_tenant delete_tenant restore_tenant");
    eventually(by_key, |answer| answer.status == 200).await;
    eventually(by_token, |answer| answer.status == 200).await;
    anybody.post("/v1/auth/refresh", &refresh).await.expect(200);
    anybody.post("/v1/auth/login", &login).await.expect(200);
    assert_eq!(tenant.count("resources"), 1);

    // One that was suspended comes back suspended.
    operator.post_nothing(&format!("{path}/suspend")).await.expect(200);
    operator.delete(&path).await.expect(200);
    let restored = operator.post_nothing(&format!("{path}/restore")).await.expect(200);
    assert_eq!(restored.at("/status"), "suspended");
}

#[tokio::test]
async fn a_tenant_whose_time_is_over_is_removed_and_its_bill_stays() {
    let system = System::shared().await;
    let (tenant, neighbour) = (create_tenant(system, "free").await, system.tenant().await);
    let operator = system.operator().await;
    let key = tenant.key(RoleName::DEVELOPER).await;
    tenant.resource("a thing").await;
    // Every key that Redis has of a tenant expires within minutes.
    for _ in 0..20 {
        key.caller.get("/v1/me").await.expect(200);
    }
    let in_redis = system.redis_keys_with(tenant.id.trim_start_matches("ten_"));
    assert!(!in_redis.is_empty(), "admission asks Redis");
    assert!(in_redis.iter().all(|(_, left)| (0..180_000).contains(left)), "{in_redis:?}");
    let report = format!("/v1/admin/tenants/{}/usage/report?period={}", tenant.id, this_month());
    let requests = |answer: &Answer| {
        let lines = answer.json()["lines"].clone();
        let line = lines.as_array().unwrap().iter().find(|line| line["meter"] == "api_requests").cloned();
        line.unwrap()["quantity"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let used = async || operator.get(&report).await.expect(200);
    eventually(used, |answer| requests(answer) >= 20).await;
    let path = format!("/v1/admin/tenants/{}", tenant.id);
    operator.delete(&path).await.expect(200);
    let by_key = async || key.caller.get("/v1/me").await;
    eventually(by_key, |answer| answer.status != 200).await.refused(401, "invalid-credentials");
    let_time_pass(system, &tenant.id);
    let gone = async || operator.get(&path).await.expect(200);
    let purged = eventually(gone, |answer| answer.at("/purged_at") != "null").await;
    let mut shown = purged.clone();
    // How much there was to remove beside the rows differs a little from run to run.
    let mut body = purged.json();
    for counted in ["bytes", "revocations", "jobs", "scaling"] {
        assert!(body["receipt"][counted].is_u64(), "{}", purged.show());
        body["receipt"][counted] = json!("[counted]");
    }
    shown.body = body.to_string();
    insta::assert_snapshot!(shown.show(), @r#"
    200
    etag: "v4"
    {
      "created_at": "[time]",
      "deleted_at": "[time]",
      "id": "ten_…",
      "name": "Acme Corporation",
      "plan": "free",
      "purge_after": "[time]",
      "purged_at": "[time]",
      "receipt": {
        "answers": 0,
        "audit_kept": 4,
        "begun_at": "[time]",
        "bytes": "[counted]",
        "finished_at": "[time]",
        "jobs": "[counted]",
        "pending_owner": false,
        "revocations": "[counted]",
        "role": true,
        "rows": {
          "api_keys": 1,
          "audit_log": 4,
          "federated_identities": 0,
          "idempotency_keys": 0,
          "one_time_tokens": 0,
          "provider_accounts": 0,
          "resources": 1,
          "roles": 0,
          "second_factors": 0,
          "sessions": 1,
          "settings": 0,
          "users": 1
        },
        "rows_estimated": {},
        "scaling": "[counted]",
        "schema": true
      },
      "slug": "acme",
      "status": "deleted",
      "updated_at": "[time]",
      "version": 4
    }
    "#);

    // Nothing is left in the database but what the bill needs.
    assert_eq!(
        system.sql(&format!("SELECT to_regnamespace('{0}'), to_regrole('{0}')", tenant.schema())),
        "|"
    );
    let tables = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'platform' \
        AND column_name = 'tenant_id' AND data_type = 'uuid' ORDER BY 1";
    let id = uuid(&tenant.id);
    let rows_of =
        |table: &str| system.sql(&format!("SELECT count(*) FROM platform.{table} WHERE tenant_id = '{id}'"));
    let left: Vec<_> =
        system.sql(tables).lines().filter(|table| rows_of(table) != "0").map(ToOwned::to_owned).collect();
    assert_eq!(left, ["request_minutes", "tenant_audit_log", "tenant_purges", "usage_days", "usage_hours"]);
    let billed = requests(&operator.get(&report).await.expect(200));
    assert!(billed >= 20);
    let all =
        operator.get(&format!("/v1/admin/usage/report?period={}&limit=100", this_month())).await.expect(200);
    assert!(all.body.contains(&tenant.id) || all.at("/next_cursor") != "null");
    assert_eq!(audited(system, &tenant.id), "create_tenant delete_tenant purge_tenant");
    operator.get(&format!("/v1/operations/{}", tenant.operation)).await.refused(404, "not-found");

    // There is no way back, and asking again changes nothing.
    operator.post_nothing(&format!("{path}/restore")).await.refused(409, "wrong-state");
    operator.post_nothing(&format!("{path}/retry")).await.refused(409, "wrong-state");
    let refused = operator.patch(&path, &json!({ "name": "x" })).await.refused(409, "wrong-state");
    let told = "The tenant is deleted for good: its removal has begun, and it cannot be restored or changed.";
    assert_eq!(refused.at("/detail"), told);
    let again = operator.delete(&path).await.expect(200);
    assert_eq!(
        (again.at("/purged_at"), again.header("etag")),
        (purged.at("/purged_at"), purged.header("etag"))
    );
    key.caller.get("/v1/me").await.refused(401, "invalid-credentials");
    neighbour.owner.caller.get("/v1/me").await.expect(200);
    // The name is free, for a customer who is another one.
    let accepted = operator.post("/v1/admin/tenants", &order(&tenant.slug)).await.expect(202);
    assert_ne!(accepted.at("/result/tenant"), tenant.id);
}

/// Signs a tenant up whose operation has failed for good.
async fn given_up(system: &System, slug: &str) -> (String, String) {
    // The constraint keeps every worker from claiming the job. The update then leaves the job as ten failed attempts
    // would.
    let operator = system.operator().await;
    system.sql("ALTER TABLE platform.jobs ADD CONSTRAINT none_runs CHECK (kind <> 'provision_tenant' OR state <> 'running') NOT VALID");
    let accepted = operator.post("/v1/admin/tenants", &order(slug)).await.expect(202);
    let (id, operation) = (accepted.at("/result/tenant"), accepted.at("/id"));
    system.sql(&format!(
        "UPDATE platform.jobs SET state = 'failed', attempts = 10, error = 'every attempt failed', finished_at = now(), \
         pushed_at = NULL WHERE tenant_id = '{}' AND kind = 'provision_tenant'; \
         ALTER TABLE platform.jobs DROP CONSTRAINT none_runs",
        uuid(&id)
    ));
    (id, operation)
}

#[tokio::test]
async fn a_tenant_whose_building_has_failed_is_tried_again_or_withdrawn() {
    let system = System::start("given_up", crate::support::Options::default()).await;
    let operator = system.operator().await;
    let slug = format!("acme-{}", unique());
    let (id, operation) = given_up(&system, &slug).await;
    let failed = operator.get(&format!("/v1/operations/{operation}")).await.expect(200);
    assert_eq!((failed.at("/state"), failed.at("/error")), ("failed".into(), "every attempt failed".into()));
    let doctor = crate::support::bulkhead(&["doctor"], &system.migrator(), "");
    assert!(doctor.out.contains(&format!("{slug} has been waiting since")), "{doctor:?}");

    let path = format!("/v1/admin/tenants/{id}");
    let retried = operator.post_nothing(&format!("{path}/retry")).await;
    insta::assert_snapshot!(retried.show(), @r#"
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
    assert_ne!(retried.at("/id"), operation);
    let tenant = async || operator.get(&path).await.expect(200);
    eventually(tenant, |answer| answer.at("/status") == "active").await;
    operator.post_nothing(&format!("{path}/retry")).await.refused(409, "wrong-state");
    operator
        .post_nothing(&format!("{path}/retry"))
        .header("if-match", "\"v1\"")
        .await
        .refused(412, "precondition-failed");
    let login =
        json!({ "tenant": slug, "email": "owner@example.com", "password": "correct horse battery staple" });
    system.anonymous().post("/v1/auth/login", &login).await.expect(200);

    // For a job that is on its way already, a retry does nothing and the audit log says nothing. A job that waits is
    // made due now.
    let (id, operation) = given_up(&system, &format!("acme-{}", unique())).await;
    let path = format!("/v1/admin/tenants/{id}");
    let job = |now: &str| {
        system.sql(&format!(
            "UPDATE platform.jobs SET attempts = 1, error = NULL, finished_at = NULL, {now} WHERE tenant_id = '{}'",
            uuid(&id)
        ));
    };
    job("state = 'running', lease_token = gen_random_uuid(), leased_until = now() + interval '1 hour'");
    for _ in 0..2 {
        let found = operator.post_nothing(&format!("{path}/retry")).await.expect(202);
        assert_eq!(found.at("/id"), operation);
    }
    assert_eq!(audited(&system, &id), "create_tenant");
    job("state = 'queued', lease_token = NULL, leased_until = NULL, run_at = now() + interval '1 hour'");
    let hastened = operator.post_nothing(&format!("{path}/retry")).await.expect(202);
    assert_eq!(hastened.at("/id"), operation);
    assert_eq!(audited(&system, &id), "create_tenant retry_tenant");
    let tenant = async || operator.get(&path).await.expect(200);
    eventually(tenant, |answer| answer.at("/status") == "active").await;

    // Withdrawn, there is nothing to keep, and the name is free within seconds.
    let slug = format!("acme-{}", unique());
    let (id, _) = given_up(&system, &slug).await;
    assert_eq!(
        system
            .sql(&format!("SELECT count(*) FROM platform.pending_owners WHERE tenant_id = '{}'", uuid(&id))),
        "1"
    );
    let path = format!("/v1/admin/tenants/{id}");
    let withdrawn = operator.delete(&path).await.expect(200);
    assert_eq!(
        (withdrawn.at("/status"), withdrawn.at("/purge_after")),
        ("deleted".into(), withdrawn.at("/deleted_at"))
    );
    operator.post_nothing(&format!("{path}/restore")).await.refused(409, "wrong-state");
    let gone = async || operator.get(&path).await.expect(200);
    let purged = eventually(gone, |answer| answer.at("/purged_at") != "null").await;
    assert_eq!((purged.at("/receipt/pending_owner"), purged.at("/slug")), ("true".into(), slug.clone()));
    assert_eq!(
        system
            .sql(&format!("SELECT count(*) FROM platform.pending_owners WHERE tenant_id = '{}'", uuid(&id))),
        "0"
    );
    let accepted = operator.post("/v1/admin/tenants", &order(&slug)).await.expect(202);
    let follow = async || operator.get(accepted.header("location")).await.expect(200);
    eventually(follow, |answer| answer.at("/state") == "succeeded").await;
    let doctor = crate::support::bulkhead(&["doctor"], &system.migrator(), "");
    assert!(
        doctor.success && doctor.out.contains("every tenant that has signed up is being built"),
        "{doctor:?}"
    );
}

/// An answer that was kept for a repeated request is kept no longer than the tenant that it is about. That it was
/// given is still known.
#[tokio::test]
async fn a_repeated_order_does_not_bring_a_withdrawn_tenant_back() {
    let system = System::shared().await;
    let operator = system.operator().await;
    let slug = format!("acme-{}", unique());
    let key = unique();
    let ask = || operator.post("/v1/admin/tenants", &order(&slug)).header("idempotency-key", &key);
    let accepted = ask().await.expect(202);
    assert_eq!(ask().await.expect(202).header("idempotent-replayed"), "true");
    let path = format!("/v1/admin/tenants/{}", accepted.at("/result/tenant"));
    operator.delete(&path).await.expect(200);
    let_time_pass(system, &accepted.at("/result/tenant"));
    let gone = async || operator.get(&path).await.expect(200);
    let purged = eventually(gone, |answer| answer.at("/purged_at") != "null").await;
    assert_eq!(purged.at("/receipt/answers"), "1");
    let again = ask().await.refused(409, "already-completed");
    assert_eq!(again.at("/detail"), "This request was completed before, and its answer is not kept.");
    assert_eq!(again.header("location"), "");
    assert_eq!(system.sql(&format!("SELECT count(*) FROM platform.tenants WHERE slug = '{slug}'")), "0");
}
