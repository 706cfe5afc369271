//! Usage, applied exactly once.
//!
//! The row of a recorder in `usage_batches` says which of its batches are in the rollups, and it is changed by the
//! transaction that adds them. That transaction first locks the rows of all recorders it is about to look at, in the
//! order of their ids; so of two that carry the same batch one waits for the other and then finds it applied. It does
//! not matter which process sends a batch, how often, or in which order.
//!
//! Beside that: what tenants' transactions have counted (`counted.rs`), what was sent and cannot be applied (`rejected.rs`), and
//! what tenants used (`report.rs`).

mod counted;
mod rejected;
mod report;
mod rollup;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use bulkhead_domain::metering::{BatchId, UsageBatch};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use self::rollup::Rollup;
pub use self::{
    counted::{counts_waiting, fold_counts},
    rejected::{Rejected, reject, room_for_foreign},
    report::{TenantTotals, totals, totals_of_all},
};
use crate::engine::{
    error::{DbError, DbResult},
    scope::PlatformTx,
};

/// What became of the batches that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Batches that are in the rollups now.
    pub fresh: usize,
    /// Batches that were in the rollups before, or were sent twice at once.
    pub duplicate: usize,
}

/// Adds batches to the rollups, each at most once. The transaction must be at READ COMMITTED (`platform_write` is):
/// what another transaction has applied meanwhile must be seen.
pub async fn apply<'a>(
    tx: &mut PlatformTx,
    batches: impl IntoIterator<Item = &'a UsageBatch>,
) -> DbResult<Applied> {
    let mut sent = 0;
    let mut by_id = BTreeMap::new();
    for batch in batches {
        sent += 1;
        by_id.insert((batch.id.recorder_id, sequence(batch.id)?), batch);
    }
    if by_id.is_empty() {
        return Ok(Applied::default());
    }
    let fresh = lock_and_sift(tx, &by_id).await?;
    if !fresh.is_empty() {
        let rollup = Rollup::of(fresh.iter().filter_map(|id| by_id.get(id).copied()))?;
        rollup.add_minutes(tx).await?;
        rollup.add_hours_and_days(tx).await?;
        mark_applied(tx, &fresh).await?;
    }
    Ok(Applied { fresh: fresh.len(), duplicate: sent - fresh.len() })
}

fn sequence(id: BatchId) -> DbResult<i64> {
    i64::try_from(id.seq)
        .map_err(|_too_big| DbError::Unreadable(format!("batch number {} is out of range", id.seq)))
}

/// Batches of one recorder without a gap between them: a recorder numbers what it sends, so thousands are a few of these.
#[derive(Debug, PartialEq, Eq, QueryableByName)]
struct Span {
    #[diesel(sql_type = SqlUuid)]
    boot: Uuid,
    #[diesel(sql_type = BigInt)]
    first: i64,
    #[diesel(sql_type = BigInt)]
    last: i64,
}

impl Span {
    fn join(ids: impl IntoIterator<Item = (Uuid, i64)>) -> Vec<Self> {
        let mut spans: Vec<Self> = vec![];
        for (boot, seq) in ids {
            match spans.last_mut() {
                Some(span) if span.boot == boot && span.last.checked_add(1) == Some(seq) => span.last = seq,
                _ => spans.push(Self { boot, first: seq, last: seq }),
            }
        }
        spans
    }

    fn columns(spans: Vec<Self>) -> (Vec<Uuid>, Vec<i64>, Vec<i64>) {
        spans.into_iter().map(|span| (span.boot, span.first, span.last)).collect()
    }
}

/// Locks the recorders' rows and returns the batches that are not applied.
async fn lock_and_sift(
    tx: &mut PlatformTx,
    by_id: &BTreeMap<(Uuid, i64), &UsageBatch>,
) -> DbResult<BTreeSet<(Uuid, i64)>> {
    let nodes: BTreeMap<Uuid, &str> =
        by_id.iter().map(|((boot, _), batch)| (*boot, batch.node.as_str())).collect();
    let (boots, names): (Vec<Uuid>, Vec<&str>) = nodes.into_iter().unzip();
    let ensure = diesel::sql_query(
        "INSERT INTO usage_batches (boot, node) SELECT new.boot, new.node FROM unnest($1, $2) AS new (boot, node) \
         ON CONFLICT (boot) DO NOTHING",
    )
    .bind::<Array<SqlUuid>, _>(boots.clone())
    .bind::<Array<Text>, _>(names);
    tx.tx.execute(ensure).await?;
    let (sent_boots, firsts, lasts) = Span::columns(Span::join(by_id.keys().copied()));
    let sift = diesel::sql_query(include_str!("usage/lock_and_sift.sql"))
        .bind::<Array<SqlUuid>, _>(boots)
        .bind::<Array<SqlUuid>, _>(sent_boots)
        .bind::<Array<BigInt>, _>(firsts)
        .bind::<Array<BigInt>, _>(lasts);
    let mut fresh: BTreeSet<(Uuid, i64)> = by_id.keys().copied().collect();
    for Span { boot, first, last } in tx.tx.load(sift).await? {
        let applied: Vec<_> = fresh.range((boot, first)..=(boot, last)).copied().collect();
        for id in applied {
            fresh.remove(&id);
        }
    }
    Ok(fresh)
}

async fn mark_applied(tx: &mut PlatformTx, fresh: &BTreeSet<(Uuid, i64)>) -> DbResult<()> {
    let (boots, firsts, lasts) = Span::columns(Span::join(fresh.iter().copied()));
    let statement = diesel::sql_query(
        "UPDATE usage_batches SET applied = applied + done.seqs, applied_at = now() \
         FROM (SELECT boot, range_agg(int8range(first, last, '[]')) AS seqs \
               FROM unnest($1, $2, $3) AS fresh (boot, first, last) GROUP BY boot) done \
         WHERE usage_batches.boot = done.boot",
    )
    .bind::<Array<SqlUuid>, _>(boots)
    .bind::<Array<BigInt>, _>(firsts)
    .bind::<Array<BigInt>, _>(lasts);
    tx.tx.execute(statement).await?;
    Ok(())
}

/// Which batches of a recorder are in the rollups, of those numbered from `first` to `last`; without gaps each, in order.
pub async fn confirmed(tx: &mut PlatformTx, first: BatchId, last: u64) -> DbResult<Vec<RangeInclusive<u64>>> {
    let query = diesel::sql_query(
        "SELECT boot, lower(span) AS first, upper(span) - 1 AS last FROM usage_batches, \
         unnest(applied * int8multirange(int8range($2, $3, '[]'))) AS span WHERE boot = $1 ORDER BY span",
    )
    .bind::<SqlUuid, _>(first.recorder_id)
    .bind::<BigInt, _>(sequence(first)?)
    .bind::<BigInt, _>(sequence(BatchId { seq: last, ..first })?);
    let spans: Vec<Span> = tx.tx.load(query).await?;
    Ok(spans.into_iter().map(|span| span.first.unsigned_abs()..=span.last.unsigned_abs()).collect())
}
