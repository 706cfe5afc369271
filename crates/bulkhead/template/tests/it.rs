//! The program with servers of its own: what is promised of every operation, and what is this product's own.

use bulkhead_testkit::{App, json};

/// What is made and how is taken from the document; the list is for what cannot be (`Fixture`).
async fn app() -> &'static App {
    App::start(env!("CARGO_BIN_EXE_{{name}}"), &[]).await
}

bulkhead_testkit::conformance!(app());

#[tokio::test]
async fn a_customer_is_counted_when_it_is_added() {
    let tenant = app().await.tenant().await;
    let customer = tenant.make("/v1/customers").await;
    let reader = tenant.person("read_only").await;
    reader.caller.get(&format!("/v1/customers/{}", customer.id)).await.expect(200);
    let other = json!({ "number": "C-2", "name": "Bo", "kind": "company" });
    reader.caller.post("/v1/customers", &other).await.refused(403, "insufficient-permission");
    assert_eq!(tenant.count("customers"), 1);
    tenant.used("customers_added", 1).await;
}
