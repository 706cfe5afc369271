//! A tenant's share of the processors: of two threads, one works on the tenant's large requests, one at a time.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use serde_json::json;

use super::{ADMITTED, waiting};
use crate::support::{Options, System, Tenant, create_tenant, eventually};

/// Requests of each kind that are sent at once.
const CROWD: usize = 4;

/// Sends a crowd of requests while a test session holds a lock on the tenant's `resources`, so that each statement on them waits.
/// The API admits all of them, and PostgreSQL sees the statement of one; once the lock is gone, all are answered.
async fn one_by_one(system: &System, tenant: &Tenant<'_>, ask: impl AsyncFn()) {
    let lock = format!("BEGIN; LOCK TABLE {}.resources IN ACCESS EXCLUSIVE MODE", tenant.schema());
    let lock = system.session(&lock);
    let before = system.metric(ADMITTED).await;
    let looking = async {
        system.await_metric(ADMITTED, |admitted| admitted >= before + CROWD as f64).await;
        eventually(async || waiting(system, "resources"), |count| *count == 1).await;
        // The API answers a request that needs no content; by then it would have sent the statements of the others, too.
        tenant.owner.caller.get("/v1/me").await.expect(200);
        assert_eq!(waiting(system, "resources"), 1);
        drop(lock);
    };
    tokio::join!(looking, join_all((0..CROWD).map(|_| ask())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_is_read_aside_of_the_serving_threads() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let numbers = json!({ "numbers": vec![1; 120_000] });
    let body = json!({ "name": "n", "kind": "k", "data": numbers });
    let was_aside = AtomicBool::new(false);
    eventually(
        async || {
            let asked = tenant.owner.caller.post("/v1/resources", &body);
            let looking = async {
                while !was_aside.load(Ordering::Relaxed) {
                    was_aside.store(system.threads("body") > 0, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! { answer = asked => drop(answer.expect(201)), () = looking => {} }
            was_aside.load(Ordering::Relaxed)
        },
        |was_aside| *was_aside,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_of_a_tenant_are_worked_on_one_by_one() {
    let api = vec![("BULKHEAD_HTTP_THREADS", "2".to_owned()), ("BULKHEAD_LOG", "info".to_owned())];
    let system = System::start("large", Options { api, ..Options::default() }).await;
    let tenant = create_tenant(&system, "enterprise").await;
    let content = json!({ "text": "x".repeat(20_000) });
    let body = json!({ "name": "n", "kind": "k", "data": content });
    let create = async || drop(tenant.owner.caller.post("/v1/resources", &body).await.expect(201));
    one_by_one(&system, &tenant, create).await;
    // An answer of 80 kB is large, and the next ones are expected to be.
    let list = async || drop(tenant.owner.caller.get("/v1/resources").await.expect(200));
    list().await;
    one_by_one(&system, &tenant, list).await;
}
