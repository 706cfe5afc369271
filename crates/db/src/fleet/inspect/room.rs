//! Whether the server gives as many connections as the product's processes may open.

use diesel::{QueryableByName, sql_types::Integer};

use super::{Finding, Level};
use crate::engine::{error::DbResult, scope::Owner};

/// Connections for roles that are no superusers. Since PostgreSQL 16 the server can reserve some of these, too, for
/// members of one role.
const ROOM: &str = "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int \
    - coalesce(current_setting('reserved_connections', true)::int, 0) AS room";

#[derive(QueryableByName)]
struct Room {
    #[diesel(sql_type = Integer)]
    room: i32,
}

/// Compares what one API process and one worker may open with what the server has for them. How many processes there are
/// is not known here: the detail says what each may take.
pub async fn connections(owner: &Owner, api: usize, worker: usize) -> DbResult<Finding> {
    let found: Room = owner.read(async |tx| tx.tx.one(diesel::sql_query(ROOM)).await).await?;
    Ok(judge(api, worker, usize::try_from(found.room).unwrap_or_default()))
}

fn judge(api: usize, worker: usize, room: usize) -> Finding {
    let level = if api + worker > room { Level::Warning } else { Level::Ok };
    let detail = format!(
        "an API process may open {api} connections and a worker {worker}, if their machines have as many \
         processors as this one; the server has {room} for all of them"
    );
    Finding { check: "connections", level, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_of_each_kind_must_fit() {
        assert_eq!(judge(39, 37, 76).level, Level::Ok);
        assert_eq!(judge(39, 37, 75).level, Level::Warning);
    }
}
