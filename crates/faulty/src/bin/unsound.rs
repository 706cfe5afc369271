//! An application whose migrations are accepted and not sound: a reference has no index, a `down.sql` leaves a column behind,
//! and a new tenant has another default than an upgraded one.

use std::process::ExitCode;

use bulkhead::prelude::*;

fn main() -> ExitCode {
    let migrations = migrations!["2026-12-01-000001_unsound", "2026-12-01-000002_colours"];
    bulkhead::App::new()
        .name("unsound")
        .extension(Extension::new("unsound").tenant_migrations(migrations))
        .run()
}
