//! A set of migrations that is the tests' own, with one table, and queries of it as an extension writes them.

use anyhow::Result;
use bulkhead_db::{
    DbResult, JsonText, TenantTx,
    fleet::migrate::{CORE, Migration, MigrationSet, Sets},
};
use bulkhead_fixtures::TestDb;
use diesel::prelude::*;
use uuid::Uuid;

/// Older than any of the core's.
pub(crate) const THINGS: Migration = Migration::new(
    "2000-01-01-000000_things",
    "CREATE TABLE things (
         id uuid PRIMARY KEY,
         name text NOT NULL,
         kind text NOT NULL,
         data json COMPRESSION lz4 NOT NULL,
         user_id uuid REFERENCES users (id)
     );
     CREATE INDEX things_user ON things (user_id);
     GRANT SELECT, INSERT, UPDATE, DELETE ON things TO :\"tenant\"",
);
/// Newer than any of them.
pub(crate) const COLOURS: Migration =
    Migration::new("2999-12-31-000000_colours", "ALTER TABLE things ADD COLUMN colour text;");
pub(crate) const SET: MigrationSet = MigrationSet::new("probe", &[THINGS, COLOURS]);

diesel::table! {
    things (id) {
        id -> Uuid,
        name -> Text,
        kind -> Text,
        data -> Json,
    }
}

/// The core's set and this one.
pub(crate) fn sets() -> Result<Sets> {
    Ok(Sets::new([CORE, SET])?)
}

/// A release whose probe has this migration besides.
pub(crate) fn sets_with(more: Migration) -> Result<Sets> {
    let mut all = vec![THINGS, COLOURS, more];
    all.sort_by_key(Migration::version);
    Ok(Sets::new([CORE, MigrationSet::new(SET.name(), all.leak())])?)
}

/// A database whose tenants have the table.
pub(crate) async fn database() -> Result<TestDb> {
    TestDb::with(&sets()?).await
}

/// Adds a row.
pub(crate) async fn insert(tx: &mut TenantTx, name: &str, kind: &str, data: &JsonText) -> DbResult<Uuid> {
    let id = Uuid::now_v7();
    let row = (things::id.eq(id), things::name.eq(name), things::kind.eq(kind), things::data.eq(data));
    tx.execute(diesel::insert_into(things::table).values(row)).await?;
    Ok(id)
}

/// The name of a row.
pub(crate) async fn name(tx: &mut TenantTx, id: Uuid) -> DbResult<Option<String>> {
    tx.first(things::table.find(id).select(things::name)).await
}

/// The names of all rows.
pub(crate) async fn names(tx: &mut TenantTx) -> DbResult<Vec<String>> {
    tx.load(things::table.select(things::name).order(things::id.asc()).limit(1_000)).await
}
