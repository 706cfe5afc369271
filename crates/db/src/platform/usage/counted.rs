//! What tenants' transactions have counted.
//!
//! It lies in `usage_counts` as they have committed it. The transaction that adds a row of it to the rollups deletes the row, so
//! it is in one of the two and never in both.

use bulkhead_domain::TenantId;
use diesel::{
    prelude::*,
    sql_types::{BigInt, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::rollup::Rollup;
use crate::engine::{
    error::{DbError, DbResult},
    scope::PlatformTx,
};

/// What tenants' transactions have counted of one meter in one hour.
#[derive(QueryableByName)]
struct HourOfCounts {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = Text)]
    meter: String,
    /// Since the epoch.
    #[diesel(sql_type = BigInt)]
    hour: i64,
    /// The sum in thousandths of the meter's unit.
    #[diesel(sql_type = Text)]
    milli: String,
    #[diesel(sql_type = BigInt)]
    counts: i64,
}

/// Moves what tenants' transactions have counted into the rollups, the oldest first, at most `limit` counts; how many it were.
/// Call it again until it is fewer. Two at once move different counts.
pub async fn fold_counts(tx: &mut PlatformTx, limit: usize) -> DbResult<usize> {
    let take = diesel::sql_query(include_str!("fold_counts.sql"))
        .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX));
    let hours: Vec<HourOfCounts> = tx.tx.load(take).await?;
    if hours.is_empty() {
        return Ok(0);
    }
    let unreadable = |row: &HourOfCounts| {
        DbError::Unreadable(format!("{} of {} counted in hour {}", row.milli, row.meter, row.hour))
    };
    let mut rollup = Rollup::default();
    for row in &hours {
        let (Ok(hour), Ok(milli)) = (u32::try_from(row.hour), row.milli.parse::<u128>()) else {
            return Err(unreadable(row));
        };
        rollup.add(TenantId::from_uuid(row.tenant_id), &row.meter, hour, milli)?;
    }
    rollup.add_hours_and_days(tx).await?;
    Ok(hours.iter().map(|row| usize::try_from(row.counts).unwrap_or(0)).sum())
}

/// How many counts of tenants' transactions are not in the rollups yet, at most: the ids are looked at and not the rows, so those
/// of transactions that were undone are among them.
pub async fn counts_waiting(tx: &mut PlatformTx) -> DbResult<i64> {
    #[derive(QueryableByName)]
    struct Waiting {
        #[diesel(sql_type = BigInt)]
        waiting: i64,
    }
    let query = diesel::sql_query("SELECT coalesce(max(id) - min(id) + 1, 0) AS waiting FROM usage_counts");
    let row: Waiting = tx.tx.one(query).await?;
    Ok(row.waiting)
}
