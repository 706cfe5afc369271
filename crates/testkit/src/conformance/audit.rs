//! What the audit log says of a write.

use super::aim::query;
use crate::{App, unique};

/// Every write leaves one entry in an audit log, the tenant's or the operators': who has called, which operation, under which id
/// and from which address. A write that was refused leaves none.
pub async fn every_write_is_in_the_audit_log(app: &App) {
    let tenant = app.tenant().await;
    let operator = app.operator().await;
    let operator_id = operator.get("/v1/me").await.expect(200).at("/subject");
    let mut writes: Vec<_> = app.contract.those(|operation| operation.takes("Idempotency-Key")).collect();
    // What operators may do to a tenant comes last.
    writes.sort_by_key(|operation| operation.is_for_operators());
    let mut done = [0, 0];
    for operation in writes {
        let made = if operation.takes_id() {
            app.fixtures.of(operation).make(&tenant).await.id
        } else {
            String::new()
        };
        let (caller, actor, log) = if operation.is_for_operators() {
            (&operator, &operator_id, "platform".to_owned())
        } else {
            (&tenant.owner.caller, &tenant.owner.id, tenant.schema())
        };
        let (id, path) = (unique(), operation.path_of(&made) + &query(app, operation, ""));
        let call = caller.call(&operation.method, &path).header("x-request-id", &id);
        let answer =
            if operation.takes_body() { call.json(&tenant.body(operation).await).await } else { call.await };
        let entries = app.sql(&format!(
            "SELECT actor, coalesce(act, '-'), action, address FROM {log}.audit_log WHERE request_id = '{id}'"
        ));
        if answer.status >= 300 {
            assert_eq!((answer.status, entries.as_str()), (409, ""), "{}", operation.shown());
            continue;
        }
        let expected = format!("{actor}|-|{}|{}", operation.id, caller.address);
        assert_eq!(entries, expected, "{}: {}", operation.shown(), answer.show());
        done[usize::from(operation.is_for_operators())] += 1;
    }
    assert!(done.iter().all(|count| *count > 0), "nothing was written: {done:?}");
}
