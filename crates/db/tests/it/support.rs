//! What several tests need: other releases, and the catalog as text.

use anyhow::Result;
use bulkhead_db::fleet::migrate::{CORE, Migration, MigrationSet, Sets};
use bulkhead_fixtures::TestDb;
use bulkhead_testkit::catalog::facts;

/// The product's migrations and these, wherever their dates put them: the core's set of another release.
pub(crate) fn core_with(more: &[Migration]) -> MigrationSet {
    let mut all = [CORE.tenant(), more].concat();
    all.sort_by_key(Migration::version);
    MigrationSet::new(CORE.name(), all.leak())
}

/// A release whose core has these migrations besides, and that has no other set.
pub(crate) fn release_with(more: &[Migration]) -> Sets {
    Sets::new([core_with(more)]).unwrap_or_else(|error| panic!("{error}"))
}

/// Everything that makes up the given schemas, one fact a line: relations with columns, defaults, owners, privileges
/// and comments, constraints, indexes, functions, views. The names of `schemas` are written as `§0`, `§1`, and so on, so
/// that two schemas can be compared.
pub(crate) async fn catalog(db: &TestDb, schemas: &[&str]) -> Result<String> {
    let rows = db.sql(&facts(schemas)).await?;
    let mut text = rows.into_iter().flatten().flatten().collect::<Vec<_>>().join("\n");
    for (index, schema) in schemas.iter().enumerate() {
        text = text.replace(schema, &format!("§{index}"));
    }
    Ok(text)
}
