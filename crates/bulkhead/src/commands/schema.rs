//! `bulkhead schema --json`: the migrations of tenants' schemas as the program has them, for tests of an application.

use anyhow::Result;
use bulkhead_db::fleet::migrate::{MigrationSet, Sets};
use serde_json::{Value, json};

use crate::out;

/// Prints every set with its migrations and their SQL.
pub(crate) fn print(sets: &Sets) -> Result<()> {
    Ok(out::line(document(sets))?)
}

fn document(sets: &Sets) -> Value {
    let set = |set: &MigrationSet| {
        let migrations: Vec<Value> =
            set.tenant().iter().map(|one| json!({ "name": one.name(), "up": one.up() })).collect();
        json!({ "name": set.name(), "migrations": migrations })
    };
    json!({ "sets": sets.iter().map(set).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use bulkhead_db::fleet::migrate::{CORE, Migration};

    use super::*;

    #[test]
    fn every_set_is_there_with_its_sql() {
        const NOTES: MigrationSet =
            MigrationSet::new("notes", &[Migration::new("2026-12-01-000001_notes", "up;")]);
        let document = document(&Sets::new([CORE, NOTES]).unwrap());
        assert_eq!(document["sets"][0]["name"], "core");
        assert_eq!(
            document["sets"][1],
            json!({ "name": "notes", "migrations": [{ "name": "2026-12-01-000001_notes", "up": "up;" }] })
        );
    }
}
