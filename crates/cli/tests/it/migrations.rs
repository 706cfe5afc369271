//! What is pending, and what a process does while it is.

use crate::support::{Options, System, bulkhead};

#[tokio::test]
async fn a_process_serves_only_a_database_that_was_migrated_for_it() {
    let system = System::start("pending", Options::default()).await;
    let tenant = system.tenant().await;
    let plan = || {
        let plan = bulkhead(&["migrate", "--plan"], &system.migrator(), "");
        assert!(plan.success, "{plan:?}");
        plan.out
    };
    assert_eq!(plan(), "pending   core  nothing\npending   resources  nothing\n");
    // As a release finds it whose newest migration is new to the database.
    let name = "2026-11-21-000001_resources";
    system.sql("UPDATE platform.fleet_target SET wanted = wanted - '{[2,3)}'");
    for command in ["api", "worker"] {
        let refused = bulkhead(&[command], &system.migrator(), "");
        let told =
            format!("bulkhead: run bulkhead migrate first: tenants are built without resources/{name}\n");
        assert!(!refused.success && refused.err == told, "{refused:?}");
    }
    assert_eq!(plan(), format!("pending   resources  {name}  tenants: 0\npending   core  nothing\n"));
    let migrated = bulkhead(&["migrate"], &system.migrator(), "");
    assert!(migrated.success, "{migrated:?}");
    let [pending, _core, done] = &migrated.out.lines().collect::<Vec<_>>()[..] else {
        panic!("{migrated:?}")
    };
    assert_eq!(*pending, format!("pending   resources  {name}  tenants: 0"));
    assert!(done.starts_with("0 migrated, 1 up to date, 0 failed"), "{done}");
    assert_eq!(plan(), "pending   core  nothing\npending   resources  nothing\n");
    for (set, why) in [
        ("core", "bulkhead: this program has the set core; only one that was removed can be forgotten\n"),
        ("notes", "bulkhead: tenants are not built with a set called notes\n"),
    ] {
        let refused = bulkhead(&["migrate", "--forget", set], &system.migrator(), "");
        assert!(!refused.success && refused.err == why, "{refused:?}");
    }
    tenant.owner.caller.get("/v1/resources").await.expect(200);
}
