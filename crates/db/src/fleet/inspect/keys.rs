//! Whether a change of the master key has come to its end.

use diesel::{QueryableByName, sql_types::Text};

use super::{Finding, Level};
use crate::engine::{error::DbResult, scope::Owner};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    fingerprint: String,
}

/// Compares the master keys that open the root key with those that are configured where this runs: the current one's fingerprint
/// first, none where no master key is configured.
pub async fn master_keys(owner: &Owner, configured: &[String]) -> DbResult<Finding> {
    let select = "SELECT fingerprint FROM root_keys ORDER BY created_at, fingerprint";
    let rows: Vec<Row> = owner.read(async |tx| tx.tx.load(diesel::sql_query(select)).await).await?;
    let stored: Vec<String> = rows.into_iter().map(|row| row.fingerprint).collect();
    let (level, detail) = judge(&stored, configured);
    Ok(Finding { check: "master keys", level, detail })
}

fn judge(stored: &[String], configured: &[String]) -> (Level, String) {
    let Some(current) = configured.first() else {
        let level = if stored.len() > 1 { Level::Warning } else { Level::Ok };
        let detail = "master keys open the root key; with BULKHEAD_MASTER_KEY set, it is said whether it is one of them";
        return (level, format!("{} {detail}", stored.len()));
    };
    let unknown: Vec<&str> =
        stored.iter().filter(|one| !configured.contains(one)).map(String::as_str).collect();
    if !stored.is_empty() && !stored.iter().any(|one| configured.contains(one)) {
        return (Level::Broken, "BULKHEAD_MASTER_KEY opens nothing here".to_owned());
    }
    if !unknown.is_empty() {
        let detail =
            "not configured here, and still opens the root key: `bulkhead keys drop-masters` ends that";
        return (Level::Warning, format!("{}: {detail}", unknown.join(", ")));
    }
    if !stored.is_empty() && !stored.contains(current) {
        let detail = "the root key is sealed with the previous master key alone, until a process starts with the new one";
        return (Level::Warning, detail.to_owned());
    }
    (Level::Ok, "no master key opens the root key but those that are configured".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_from_its_beginning_to_its_end() {
        let level = |stored: &[&str], configured: &[&str]| {
            let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
            judge(&owned(stored), &owned(configured)).0
        };
        for (stored, configured, expected) in [
            (&[][..], &["new"][..], Level::Ok),
            (&["old"], &["old"], Level::Ok),
            (&["old"], &["new", "old"], Level::Warning),
            (&["old", "new"], &["new", "old"], Level::Ok),
            (&["old", "new"], &["new"], Level::Warning),
            (&["new"], &["new"], Level::Ok),
            (&["old"], &["new"], Level::Broken),
            (&["old"], &[], Level::Ok),
            (&["old", "new"], &[], Level::Warning),
        ] {
            assert_eq!(level(stored, configured), expected, "{stored:?} {configured:?}");
        }
    }
}
