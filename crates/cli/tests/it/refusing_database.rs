//! A database that is there and takes no writes: a client that writes is told to come back, no write is half-done,
//! and the refusals are counted for the alert.

use bulkhead_domain::RoleName;
use serde_json::json;

use crate::support::{Answer, Call, Options, System, eventually, unique};

/// Sessions that are there already keep the mode they began with: they are ended, as on a fail-over.
fn take_writes(system: &System, takes: bool) {
    let set =
        if takes { "RESET default_transaction_read_only" } else { "SET default_transaction_read_only = on" };
    system.sql(&format!("BEGIN READ WRITE; ALTER DATABASE refusing {set}; COMMIT"));
    system.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'refusing' AND pid <> pg_backend_pid()",
    );
}

#[tokio::test]
async fn writes_are_refused_for_now_and_none_is_half_done() {
    let system = System::start("refusing", Options::default()).await;
    let tenant = system.tenant().await;
    let key = tenant.key(RoleName::DEVELOPER).await;
    let operator = system.operator().await;
    let body = json!({ "name": "a thing", "kind": "document" });
    key.caller.post("/v1/resources", &body).await.expect(201);
    let rows = tenant.rows();

    take_writes(&system, false);
    // The first answers may still be about the sessions that were ended.
    let read = async || key.caller.get("/v1/resources").unchecked().await;
    let list = eventually(read, |answer| answer.status == 200).await;
    assert_eq!(list.json()["data"].as_array().unwrap().len(), 1, "reads go on");
    let once = unique();
    let write =
        async || key.caller.post("/v1/resources", &body).header("idempotency-key", &once).unchecked().await;
    let refused = eventually(write, |answer| system_says(answer, &system)).await;
    insta::assert_snapshot!(refused.show(), @r#"
    503
    content-type: application/problem+json
    retry-after: 1
    {
      "code": "unavailable",
      "detail": "The service is temporarily unable to answer. Repeat the request.",
      "request_id": "req_…",
      "status": 503,
      "title": "Service Unavailable",
      "type": "urn:bulkhead:problem:unavailable"
    }
    "#);
    let refuses = async |call: Call<'_>| {
        let answer = call.unchecked().await.refused(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "1");
    };
    for _ in 0..20 {
        refuses(key.caller.post("/v1/resources", &body)).await;
        let new_key = json!({ "name": "k", "role": "read_only" });
        refuses(tenant.owner.caller.post("/v1/api-keys", &new_key)).await;
        let path = format!("/v1/admin/tenants/{}", tenant.id);
        refuses(operator.patch(&path, &json!({ "name": "x" }))).await;
    }
    let login =
        json!({ "tenant": tenant.slug, "email": tenant.owner.email, "password": tenant.owner.password });
    refuses(system.anonymous().post("/v1/auth/login", &login)).await;
    // What the alert DatabaseRefuses watches.
    let counted = system.metrics().await;
    let series = |pool: &str| {
        let series = format!("bulkhead_db_failures_total{{pool=\"{pool}\",reason=\"read_only\"}} ");
        counted.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok()).unwrap()
    };
    assert!(series("tenant") >= 40 && series("platform") >= 20, "{counted}");
    assert_eq!(tenant.rows(), rows);

    take_writes(&system, true);
    // The same request, as its sender repeats it.
    let made = eventually(write, |answer| answer.status == 201).await;
    assert_eq!(made.header("idempotent-replayed"), "");
    assert_eq!(write().await.expect(201).header("idempotent-replayed"), "true");
    assert_eq!(tenant.count("resources"), 2);
    system.tenant().await;
    // The same is counted of the connections that tenants are built with, and of those that they are purged with.
    let counted = system.worker_metrics().await;
    let series =
        |name: &str| counted.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    assert!(series("bulkhead_db_connection_opened_total{pool=\"provisioner\"}") > Some(0), "{counted}");
    assert!(
        series("bulkhead_db_failures_total{pool=\"provisioner\",reason=\"read_only\"}").is_some(),
        "{counted}"
    );
}

/// Whether the answer is the refusal itself, and not about a session that was ended.
fn system_says(answer: &Answer, system: &System) -> bool {
    answer.status == 503 && system.logs().contains("read-only transaction")
}
