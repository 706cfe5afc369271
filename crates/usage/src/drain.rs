//! From the stream into the rollups, by the worker.
//!
//! The stream is read from its start, so nothing has to be remembered about where the last run stopped. Entries are
//! deleted after their batches are committed; dying in between only means that they are read again and found applied.
//!
//! Refuses to believe Redis: an entry whose tag is not ours is set aside before anything in it is looked at. So it can
//! neither bill a tenant nor claim the number of a batch that is still to come. Only its beginning is kept, and of
//! only so many such entries, so they fill no disk. An attacker may write a copy of a genuine entry: its number says
//! that it is applied, and its minutes, which its tag covers, that it is too old.

use std::{collections::HashSet, time::Duration};

use bulkhead_db::{
    Authority, Db, DbError, DbResult, PlatformTx,
    platform::usage::{self, Rejected},
};
use bulkhead_domain::{
    Mac,
    metering::{MeterKey, UsageBatch, UsageKey},
};
use bulkhead_telemetry::Metrics;
use chrono::{DateTime, TimeDelta, Utc};
use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::time::Instant;

use crate::{
    UsageError,
    codec::{self, CodecError},
    stream::{self, Entry},
};

/// How much is moved at a time.
#[derive(Clone, Copy, Debug)]
pub struct DrainOptions {
    /// Entries taken together, about. Requests of one tenant in one minute become one row, however many entries they are
    /// in, so the more there are the less each costs.
    pub entries: usize,
    /// Bytes of entries taken together, about: what the run holds in memory.
    pub bytes: usize,
    /// Different keys applied in one transaction, each of which is a few rows; one batch may go over it.
    pub keys: usize,
    /// For how long to go on.
    pub budget: Duration,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self { entries: 20_000, bytes: 16 << 20, keys: 10_000, budget: Duration::from_secs(20) }
    }
}

/// What a run has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Batches that are in the rollups now.
    pub fresh: usize,
    /// Batches that were there before.
    pub duplicate: usize,
    /// Entries that were set aside.
    pub rejected: usize,
    /// Entries left in the stream when time was up.
    pub left: u64,
}

/// The set of applied batches is kept for 35 days after a recorder's last one (`bulkhead_db::platform::housekeeping`). A
/// batch whose last request is longer ago than this could not be told from one that was applied, so it is set aside.
const TOO_OLD: TimeDelta = TimeDelta::days(30);

/// Entries that one transaction names in the log when they cannot be applied.
const TOLD: usize = 20;

/// Moves what is in the stream at `now`, or as much of it as there is time for. What comes in meanwhile waits for the next
/// run: going on until nothing is left would mean, while requests come, many small transactions instead of few large ones.
/// An error leaves the stream and the rollups as they were after the last transaction: call it again.
pub async fn drain(
    connection: &mut MultiplexedConnection,
    db: &Db,
    metrics: &Metrics,
    mac: &dyn Mac,
    options: DrainOptions,
    now: DateTime<Utc>,
) -> Result<Drained, UsageError> {
    let deadline = Instant::now() + options.budget;
    let mut drained = Drained::default();
    loop {
        let (entries, is_last) = gather(connection, options).await?;
        if entries.is_empty() {
            metrics.usage.stream_length.set(0);
            return Ok(drained);
        }
        for chunk in chunks(entries, options.keys, mac, now) {
            move_chunk(connection, db, metrics, chunk, &mut drained).await?;
        }
        if is_last {
            return Ok(drained);
        }
        if Instant::now() >= deadline {
            drained.left = stream::length(connection).await?;
            metrics.usage.stream_length.set(i64::try_from(drained.left).unwrap_or(i64::MAX));
            return Ok(drained);
        }
    }
}

/// The oldest entries, page by page until there are enough of them or no more, and whether these were all.
async fn gather(
    connection: &mut MultiplexedConnection,
    most: DrainOptions,
) -> RedisResult<(Vec<Entry>, bool)> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    loop {
        let behind = entries.last().map(|entry| entry.id.as_str());
        // At least one byte is asked for: with a bound of none the page would be empty.
        let page = stream::oldest(connection, behind, most.bytes.saturating_sub(bytes).max(1)).await?;
        bytes += page.entries.iter().map(|entry| entry.bytes.len()).sum::<usize>();
        entries.extend(page.entries);
        let is_last = page.is_last;
        if is_last || entries.len() >= most.entries || bytes >= most.bytes {
            return Ok((entries, is_last));
        }
    }
}

/// What one transaction moves.
#[derive(Default)]
struct Chunk {
    ids: Vec<String>,
    batches: Vec<UsageBatch>,
    /// Entries that cannot be applied, and why.
    bad: Vec<(Entry, Unusable)>,
    keys: HashSet<UsageKey>,
    meters: HashSet<MeterKey>,
}

impl Chunk {
    /// How many different keys it has.
    fn keys(&self) -> usize {
        self.keys.len() + self.meters.len()
    }

    /// How many more it would have with this batch.
    fn fresh(&self, batch: &UsageBatch) -> usize {
        let entries = batch.entries.iter().filter(|(key, _)| !self.keys.contains(key)).count();
        entries + batch.quantities.iter().filter(|(key, _)| !self.meters.contains(key)).count()
    }
}

fn chunks(entries: Vec<Entry>, most_keys: usize, mac: &dyn Mac, now: DateTime<Utc>) -> Vec<Chunk> {
    let mut chunks = vec![];
    let mut chunk = Chunk::default();
    for entry in entries {
        match readable(&entry, mac, now) {
            Ok(batch) => {
                if chunk.keys() > 0 && chunk.keys() + chunk.fresh(&batch) > most_keys {
                    chunks.push(std::mem::take(&mut chunk));
                }
                chunk.keys.extend(batch.entries.iter().map(|(key, _)| key.clone()));
                chunk.meters.extend(batch.quantities.iter().map(|(key, _)| key.clone()));
                chunk.ids.push(entry.id);
                chunk.batches.push(batch);
            }
            Err(reason) => {
                chunk.ids.push(entry.id.clone());
                chunk.bad.push((entry, reason));
            }
        }
    }
    chunks.push(chunk);
    chunks
}

/// Why an entry cannot be applied.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// Its tag is missing or is not ours.
    #[error("its tag is missing or wrong: an older release wrote it, or another program")]
    Foreign,
    /// It may be ours or not: no reader has read it to its end.
    #[error("it is not ours: {0}")]
    TooLong(CodecError),
    /// Its tag is ours, and it cannot be read.
    #[error(transparent)]
    Unreadable(#[from] CodecError),
    /// Its tag is ours, and it may have been applied.
    #[error("it is too old to be told from one that was applied")]
    TooOld,
}

impl Unusable {
    /// Whether the entry has our tag.
    const fn is_authentic(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::TooOld)
    }
}

/// The batch of an entry, or why it cannot be applied.
fn readable(entry: &Entry, mac: &dyn Mac, now: DateTime<Utc>) -> Result<UsageBatch, Unusable> {
    if !entry.is_whole() {
        return Err(Unusable::TooLong(CodecError::TooLong(entry.length)));
    }
    if !mac.verify(&entry.bytes, &entry.tag) {
        return Err(Unusable::Foreign);
    }
    let batch = codec::decode(&entry.bytes)?;
    let oldest = (now - TOO_OLD).timestamp().div_euclid(60);
    if batch.newest_minute().is_some_and(|newest| i64::from(newest) < oldest) {
        return Err(Unusable::TooOld);
    }
    Ok(batch)
}

async fn move_chunk(
    connection: &mut MultiplexedConnection,
    db: &Db,
    metrics: &Metrics,
    chunk: Chunk,
    drained: &mut Drained,
) -> Result<(), UsageError> {
    let Chunk { ids, batches, bad, .. } = chunk;
    let (applied, dropped) = db
        .platform_write(Authority::machinery(), async |tx| {
            let dropped = set_aside(tx, &bad).await?;
            Ok::<_, DbError>((usage::apply(tx, &batches).await?, dropped))
        })
        .await?;
    metrics.usage.rejected.inc_by(u64::try_from(bad.len()).unwrap_or(u64::MAX));
    for (entry, reason) in bad.iter().take(TOLD) {
        tracing::error!(entry = entry.id, %reason, "a usage entry cannot be applied and was set aside");
    }
    if bad.len() > TOLD {
        tracing::error!(
            entries = bad.len(),
            "so many usage entries cannot be applied; the first ones were named"
        );
    }
    if dropped > 0 {
        tracing::error!(
            entries = dropped,
            "usage entries without our tag were deleted: enough of them are kept"
        );
    }
    drained.fresh += applied.fresh;
    drained.duplicate += applied.duplicate;
    drained.rejected += bad.len();
    stream::delete(connection, &ids).await?;
    Ok(())
}

/// Keeps entries that cannot be applied: all of them that have our tag, and of the others as many as there is room
/// for. Returns how many were not kept.
async fn set_aside(tx: &mut PlatformTx, bad: &[(Entry, Unusable)]) -> DbResult<usize> {
    let mut dropped = 0;
    let mut room = None;
    for (entry, reason) in bad {
        if !reason.is_authentic() {
            let left = match room {
                Some(left) => left,
                None => usage::room_for_foreign(tx).await?,
            };
            room = Some(left.saturating_sub(1));
            if left == 0 {
                dropped += 1;
                continue;
            }
        }
        let rejected = Rejected {
            entry: &entry.id,
            bytes: &entry.bytes,
            length: entry.length,
            reason: &reason.to_string(),
            is_authentic: reason.is_authentic(),
        };
        usage::reject(tx, &rejected).await?;
    }
    Ok(dropped)
}
