//! The test kit finds what is unsound in migrations, and names it.

use std::panic::AssertUnwindSafe;

use bulkhead_testkit::{App, Options, conformance as promises};
use futures::FutureExt;

/// How a promise fails.
async fn failure(promise: impl Future<Output = ()>) -> String {
    let panic = AssertUnwindSafe(promise).catch_unwind().await.unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[tokio::test]
async fn each_fault_of_a_migration_is_found() {
    let app = App::launch(env!("CARGO_BIN_EXE_unsound"), &[], "unsound", Options::default()).await;
    let bare = failure(promises::every_foreign_key_has_an_index(&app)).await;
    assert!(bare.contains("\"boxes boxes_shelf_fkey\""), "{bare}");
    let left = failure(promises::every_migration_can_be_taken_back(&app)).await;
    assert!(left.contains("down.sql of unsound/2026-12-01-000002_colours does not take back"), "{left}");
    assert!(left.contains("\"+ column tenant.boxes.colour") && !left.contains("boxes_by_colour"), "{left}");
    let differs = failure(promises::a_new_tenant_has_what_an_upgraded_one_has(&app)).await;
    assert!(differs.contains("tenant.shelves.made_at") && !differs.contains("boxes"), "{differs}");
}
