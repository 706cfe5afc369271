//! Whether the server is a release that the walls can stand on, and speaks as errors are told apart.

use diesel::{QueryableByName, result::Error as DieselError, sql_types::Integer};

use super::{Finding, Level};
use crate::{
    engine::{
        error::{DbError, DbResult},
        scope::{Owner, OwnerTx},
    },
    fleet::bootstrap::GRANT_OPTIONS,
};

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Integer)]
    version: i32,
}

/// Makes the server complain, to hear in which language: `lc_messages` may be empty, or name a language that the server
/// has no translation for.
pub(super) async fn language(owner: &Owner) -> DbResult<Finding> {
    match owner.read(async |tx| tx.tx.batch("SELECT 1 / 0").await).await {
        Err(DbError::Query(DieselError::DatabaseError(_, info))) => Ok(judge_language(info.message())),
        Err(error) => Err(error),
        Ok(()) => Ok(judge_language("nothing")),
    }
}

fn judge_language(complaint: &str) -> Finding {
    let (level, detail) = if complaint == "division by zero" {
        (Level::Ok, "the server speaks English, by which errors are told apart".to_owned())
    } else {
        (
            Level::Broken,
            format!(
                "errors are told apart by their English words (lc_messages = 'C'); the server said: {complaint}"
            ),
        )
    };
    Finding { check: "language", level, detail }
}

/// The release of the server.
pub(super) async fn version(tx: &mut OwnerTx) -> DbResult<Finding> {
    let query = diesel::sql_query("SELECT current_setting('server_version_num')::int AS version");
    let found: Version = tx.tx.one(query).await?;
    Ok(judge_server(found.version))
}

/// The oldest releases without known holes in what the walls rest on: CVE-2023-2455 and CVE-2024-10976 (plans kept over
/// a change of role), CVE-2024-10978 (role reset to the wrong one), CVE-2025-8713 to 8715.
fn judge_server(version: i32) -> Finding {
    let patched = match version / 10_000 {
        ..15 => i32::MAX,
        15 => 150_014,
        16 => 160_010,
        17 => 170_006,
        _ => 0,
    };
    let name = format!("PostgreSQL {}.{}", version / 10_000, version % 10_000);
    let (level, detail) = if version < patched {
        (Level::Broken, format!("{name} has known holes; 15.14, 16.10, 17.6 or newer is needed"))
    } else if version < GRANT_OPTIONS {
        let why =
            "any role with CREATEROLE may make itself powerful, and granting a tenant role is slow with many";
        (Level::Warning, format!("{name} works, but before 16 {why}"))
    } else {
        (Level::Ok, name)
    };
    Finding { check: "server", level, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_english_is_understood() {
        assert_eq!(judge_language("division by zero").level, Level::Ok);
        assert_eq!(judge_language("Division durch Null").level, Level::Broken);
    }

    #[test]
    fn versions_are_judged_by_their_known_holes() {
        for (version, level) in [
            (140_020, Level::Broken),
            (150_013, Level::Broken),
            (150_014, Level::Warning),
            (160_009, Level::Broken),
            (160_010, Level::Ok),
            (170_005, Level::Broken),
            (170_006, Level::Ok),
            (180_000, Level::Ok),
        ] {
            assert_eq!(judge_server(version).level, level, "{version}");
        }
    }
}
