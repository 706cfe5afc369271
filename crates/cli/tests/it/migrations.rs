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
    system.sql(
        "UPDATE platform.fleet_target SET wanted = wanted - int4multirange(int4range(id, id + 1)) \
         FROM platform.fleet_migrations WHERE set_name = 'resources'",
    );
    for command in ["api", "worker"] {
        let refused = bulkhead(&[command], &system.migrator(), "");
        let told = format!("bulkhead: run `migrate` first: tenants are built without resources/{name}\n");
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
    // As a run leaves it that was killed between the tenants and its end.
    system.sql("DELETE FROM platform.migration_runs");
    for command in ["api", "worker"] {
        let refused = bulkhead(&[command], &system.migrator(), "");
        let told = "bulkhead: run `migrate` first: no run of this program has come to its end\n";
        assert!(!refused.success && refused.err == told, "{refused:?}");
    }
    assert!(bulkhead(&["migrate"], &system.migrator(), "").success);
    for (title, why) in [
        (
            "core/2026-11-21-000001_foundation",
            "this program has core/2026-11-21-000001_foundation: take it out of its list first",
        ),
        ("core/2026-11-21-000001", "the database has met no migration core/2026-11-21-000001"),
        ("notes", "a migration is withdrawn by its set and its name: SET/NAME"),
    ] {
        let refused = bulkhead(&["migrate", "--withdraw", title], &system.migrator(), "");
        assert!(!refused.success && refused.err == format!("bulkhead: {why}\n"), "{refused:?}");
    }
    let known = "INSERT INTO platform.fleet_migrations (id, set_name, place, version, name, format, up)
        VALUES (900, 'notes', 9, 29990101000000, '2999-01-01-000000_notes', 1, 'SELECT 1')";
    system.sql(known);
    system.sql("UPDATE platform.tenant_schema_versions SET applied = applied + '{[900,901)}'");
    let notes = &["migrate", "--withdraw", "notes/2999-01-01-000000_notes"];
    let refused = bulkhead(notes, &system.migrator(), "");
    assert!(!refused.success && refused.err.starts_with("bulkhead: a tenant has notes/2999"), "{refused:?}");
    system.sql("UPDATE platform.tenant_schema_versions SET applied = applied - '{[900,901)}'");
    let withdrawn = bulkhead(notes, &system.migrator(), "");
    assert_eq!(withdrawn.out, "withdrawn notes/2999-01-01-000000_notes: tenants are built without it\n");
    for (set, why) in [
        ("core", "bulkhead: this program has the set core; only one that was removed can be forgotten\n"),
        ("notes", "bulkhead: tenants are not built with a set called notes\n"),
    ] {
        let refused = bulkhead(&["migrate", "--forget", set], &system.migrator(), "");
        assert!(!refused.success && refused.err == why, "{refused:?}");
    }
    tenant.owner.caller.get("/v1/resources").await.expect(200);
}
