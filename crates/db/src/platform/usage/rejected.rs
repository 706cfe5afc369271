//! What was sent and cannot be applied, set aside for people to look at.
//!
//! Bounded: an entry without our tag may come from any process that writes to Redis, so few of those are kept, and little of
//! each.

use diesel::{
    prelude::*,
    sql_types::{Binary, Bool, Integer, Text},
};

use crate::{
    engine::{error::DbResult, scope::PlatformTx},
    schema::platform::usage_batches_rejected,
};

/// A stream entry that cannot be applied.
#[derive(Clone, Copy, Debug)]
pub struct Rejected<'a> {
    /// Its id.
    pub entry: &'a str,
    /// Its batch, or the beginning of it.
    pub bytes: &'a [u8],
    /// How long the batch is.
    pub length: usize,
    /// Why it cannot be applied.
    pub reason: &'a str,
    /// Whether it has our tag. Every byte of an entry without it may have been chosen by another writer of the stream.
    pub is_authentic: bool,
}

/// How many entries without our tag are kept. A process that can write to Redis can write as many as it likes, and a
/// person who looks at them learns as much from some as from all.
const FOREIGN_KEPT: i64 = 1_000;

/// Bytes that are kept of an entry without our tag.
const FOREIGN_BYTES: i32 = 1_024;

/// How many more entries without our tag are to be kept.
pub async fn room_for_foreign(tx: &mut PlatformTx) -> DbResult<u64> {
    let kept = usage_batches_rejected::table.filter(diesel::dsl::not(usage_batches_rejected::authentic));
    let kept: i64 = tx.tx.one(kept.count()).await?;
    Ok(u64::try_from(FOREIGN_KEPT - kept).unwrap_or(0))
}

/// Sets a stream entry aside that has not our tag or cannot be read, for people to look at. An entry with our tag is
/// kept whole; of one without it the beginning, length and hash are kept. An entry that is set aside twice is kept
/// once. An entry with our tag is kept once however many copies of it are in the stream.
pub async fn reject(tx: &mut PlatformTx, rejected: &Rejected<'_>) -> DbResult<()> {
    let statement = diesel::sql_query(include_str!("reject.sql"))
        .bind::<Text, _>(rejected.entry)
        .bind::<Binary, _>(rejected.bytes)
        .bind::<Text, _>(rejected.reason)
        .bind::<Bool, _>(rejected.is_authentic)
        .bind::<Integer, _>(i32::try_from(rejected.length).unwrap_or(i32::MAX))
        .bind::<Integer, _>(FOREIGN_BYTES);
    tx.tx.execute(statement).await?;
    Ok(())
}
