//! Doing something once, however often it is asked for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::aim::query;
use crate::{Answer, App, Caller, Operation, Tenant, unique};

/// A request under an `Idempotency-Key`.
struct Request<'a> {
    operation: &'a Operation,
    path: String,
    key: String,
}

impl Request<'_> {
    async fn send(&self, caller: &Caller<'_>, body: &Value) -> Answer {
        let call = caller.call(&self.operation.method, &self.path).header("idempotency-key", &self.key);
        if self.operation.takes_body() { call.json(body).await } else { call.await }
    }
}

/// A request that is sent again with the same `Idempotency-Key` is answered as it was and not done again, or, where the answer
/// showed a secret, refused with the place of what was made. The key cannot be used for another body, and another tenant's key of
/// the same text is another key. A request that was refused leaves its key unused.
pub async fn a_repeated_request_is_done_once(app: &App) {
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    let operator = app.operator().await;
    let mut done = BTreeMap::from([(false, 0), (true, 0)]);
    let mut operations: Vec<_> = app.contract.those(|operation| operation.takes("Idempotency-Key")).collect();
    // What operators may do to a tenant comes last.
    operations.sort_by_key(|operation| operation.is_for_operators());
    for operation in operations {
        let path = async |tenant: &Tenant<'_>| {
            let made = if operation.takes_id() {
                app.fixtures.of(operation).make(tenant).await.id
            } else {
                String::new()
            };
            operation.path_of(&made) + &query(app, operation, "")
        };
        let is_operators = operation.is_for_operators();
        let caller = if is_operators { &operator } else { &tenant.owner.caller };
        let body = tenant.body(operation).await;
        let request = Request { operation, path: path(&tenant).await, key: unique() };
        let first = request.send(caller, &body).await;
        assert_eq!(first.header("idempotent-replayed"), "", "{}: {}", operation.shown(), first.show());
        tenant.at_rest().await;
        let rows = tenant.rows();
        let again = request.send(caller, &body).await;
        if first.status >= 300 {
            assert!(first.status == 409, "{}: {}", operation.shown(), first.show());
            assert_eq!(again.header("idempotent-replayed"), "", "{}", operation.shown());
            continue;
        }
        assert_repeated(operation, &first, &again);
        if operation.takes_body() {
            let reused = request.send(caller, &json!({})).await;
            assert_eq!(reused.status, 422, "{} with another body: {}", operation.shown(), reused.show());
        }
        assert_eq!(tenant.rows(), rows, "{} was done again", operation.shown());
        if !is_operators {
            let theirs = Request { operation, path: path(&other).await, key: request.key.clone() };
            let fresh = theirs.send(&other.owner.caller, &other.body(operation).await).await;
            let is_fresh = fresh.status < 300 && fresh.header("idempotent-replayed").is_empty();
            assert!(is_fresh, "{} with the key of another tenant: {}", operation.shown(), fresh.show());
        }
        *done.entry(is_operators).or_default() += 1;
    }
    assert!(done.values().all(|count| *count > 0), "nothing was done to be repeated: {done:?}");
}

/// Fails unless the second answer is the first once more, or says that there was one.
fn assert_repeated(operation: &Operation, first: &Answer, again: &Answer) {
    let shown = format!("{} repeated: {}", operation.shown(), again.show());
    assert_eq!(again.header("location"), first.header("location"), "{shown}");
    if again.status == 409 {
        assert_eq!(again.code(), "already-completed", "{shown}");
        return;
    }
    assert_eq!((again.status, &again.body), (first.status, &first.body), "{shown}");
    assert_eq!(again.header("etag"), first.header("etag"), "{shown}");
    assert_eq!(again.header("idempotent-replayed"), "true", "{shown}");
}
