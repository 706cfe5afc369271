//! The test kit without a fixture: it deduces how to make orders, each of which needs two customers and a number of its own.

use std::{
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicUsize, Ordering},
};

use bulkhead_testkit::{App, conformance as promises, json, with_fault};
use futures::FutureExt;

async fn app() -> &'static App {
    App::start(env!("CARGO_BIN_EXE_orders"), &[]).await
}

bulkhead_testkit::conformance!(app());

#[tokio::test]
async fn what_is_made_for_a_test_is_made_with_what_it_refers_to() {
    let tenant = app().await.tenant().await;
    let order = tenant.make("/v1/orders").await;
    let shown = tenant.owner.caller.get(&format!("/v1/orders/{}", order.id)).await.expect(200);
    assert_eq!(shown.at("/number"), order.mark);
    // One order in place of another would need another in place of which it is, and so on.
    assert_eq!(shown.json()["replaces"], json!(null));
    assert_eq!((tenant.count("customers"), tenant.count("orders")), (2, 1));
}

#[tokio::test]
async fn a_reference_to_another_tenants_thing_that_is_answered_differently_is_found() {
    let refused = AtomicUsize::new(0);
    let fault = move |asked: &bulkhead_testkit::Asked<'_>, answer: &mut bulkhead_testkit::Answer| {
        // Every second refusal is another one: so are the two that are to be alike.
        if asked.operation == "create_order"
            && answer.code() == "validation-failed"
            && refused.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
        {
            let mut body = answer.json();
            (body["code"], body["status"]) = (json!("already-taken"), json!(409));
            (answer.status, answer.body) = (409, body.to_string());
        }
    };
    let kept = with_fault(Box::new(fault), promises::whatever_a_tenant_makes_is_its_own(app().await));
    let panic = AssertUnwindSafe(kept).catch_unwind().await.unwrap_err();
    let said = panic.downcast_ref::<String>().unwrap();
    assert!(
        said.contains("create_order (POST /v1/orders) with another tenant's /v1/customers as /customer"),
        "{said}"
    );
}
