//! Which jobs are to be handed out, in which order.
//!
//! Jobs wait in lanes: one for each tenant, one for each kind of the platform's own jobs. Lanes take turns, so a lane
//! with a hundred thousand jobs delays no other. How many jobs are handed out and unfinished is bounded, in all and for
//! each lane: what is handed out cannot be reordered any more.

use std::time::Duration;

use bulkhead_domain::JobId;
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::millis;
use crate::engine::{error::DbResult, scope::PlatformTx};

/// How many jobs may be handed out.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// At once.
    pub limit: u16,
    /// And unfinished, in all.
    pub outstanding: u16,
    /// And unfinished, of one lane.
    pub per_lane: u16,
}

/// A job to hand out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueJob {
    /// Its id.
    pub id: JobId,
    /// The lane it waits in.
    pub lane: String,
}

/// The lane after which the next look begins; lanes take turns in a circle.
#[derive(Clone, Debug, Default)]
pub struct Turn(String);

/// How many lanes one look visits at most.
const LANES_PER_LOOK: i64 = 256;

#[derive(QueryableByName)]
struct DueRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    lane: String,
    #[diesel(sql_type = Text)]
    next: String,
}

/// Takes due jobs that are not handed out yet, and marks them as handed out. `turn` goes on from look to look; when
/// nothing is found in the rest of the circle, it starts over.
pub async fn take_due(tx: &mut PlatformTx, bounds: Bounds, turn: &mut Turn) -> DbResult<Vec<DueJob>> {
    let found = look(tx, bounds, turn).await?;
    if !found.is_empty() || turn.0.is_empty() {
        return Ok(found);
    }
    *turn = Turn::default();
    look(tx, bounds, turn).await
}

/// The lanes are found by skipping from one to the next in the index `jobs_ready`, so a look costs as much as the lanes
/// it visits, not as much as there are jobs. Ids are chosen first and locked afterwards, so nothing is locked in vain; of
/// two relays that choose the same id, the second finds it locked or taken.
///
/// `num_nulls` says `IS NULL` in a way that the planner does not recognise: as long as the table has no statistics, it
/// would otherwise look through all of `jobs_ready` for ids that it should look up.
async fn look(tx: &mut PlatformTx, bounds: Bounds, turn: &mut Turn) -> DbResult<Vec<DueJob>> {
    let statement = diesel::sql_query(include_str!("dispatch/look.sql"))
        .bind::<BigInt, _>(i64::from(bounds.limit))
        .bind::<BigInt, _>(i64::from(bounds.outstanding))
        .bind::<BigInt, _>(i64::from(bounds.per_lane))
        .bind::<Text, _>(turn.0.clone())
        .bind::<BigInt, _>(LANES_PER_LOOK);
    let rows: Vec<DueRow> = tx.tx.load(statement).await?;
    if let Some(row) = rows.first() {
        turn.0.clone_from(&row.next);
    }
    Ok(rows.into_iter().map(|row| DueJob { id: JobId::from_uuid(row.id), lane: row.lane }).collect())
}

/// Takes back jobs that are handed out and that no worker has started, so that they are handed out again: those with
/// the ids given, or all of them. Returns how many.
pub async fn take_back(tx: &mut PlatformTx, ids: Option<&[JobId]>) -> DbResult<usize> {
    let ids = ids.map(|ids| ids.iter().map(|id| id.uuid()).collect::<Vec<_>>());
    let statement = diesel::sql_query(
        "UPDATE jobs SET pushed_at = NULL FROM ( \
             SELECT id FROM jobs WHERE state = 'queued' AND pushed_at IS NOT NULL AND ($1 IS NULL OR id = ANY ($1)) \
             FOR UPDATE SKIP LOCKED \
         ) waiting WHERE jobs.id = waiting.id",
    )
    .bind::<Nullable<Array<SqlUuid>>, _>(ids);
    tx.tx.execute(statement).await
}

/// What a sweep has put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Jobs whose worker went away, which are to run again.
    pub requeued: usize,
    /// The kinds of the jobs whose worker went away once too often, one for each job.
    pub failed: Vec<String>,
    /// Jobs that were handed out and never started: what Redis or a worker has lost.
    pub taken_back: usize,
}

#[derive(QueryableByName)]
struct ExpiredRow {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    state: String,
}

/// Puts right what crashes have left behind, at most `limit` jobs of each sort: leases that have run out, and jobs that
/// were handed out longer than `patience` ago and never started.
pub async fn sweep(tx: &mut PlatformTx, patience: Duration, limit: u16) -> DbResult<Swept> {
    let expired = diesel::sql_query(include_str!("dispatch/sweep.sql")).bind::<BigInt, _>(i64::from(limit));
    let expired: Vec<ExpiredRow> = tx.tx.load(expired).await?;
    let (failed, requeued): (Vec<_>, Vec<_>) = expired.into_iter().partition(|row| row.state == "failed");
    let unstarted = diesel::sql_query(
        "UPDATE jobs SET pushed_at = NULL FROM ( \
             SELECT id FROM jobs \
             WHERE state = 'queued' AND pushed_at < clock_timestamp() - $1 * interval '1 millisecond' \
             LIMIT $2 FOR UPDATE SKIP LOCKED \
         ) waiting WHERE jobs.id = waiting.id",
    )
    .bind::<BigInt, _>(millis(patience))
    .bind::<BigInt, _>(i64::from(limit));
    let taken_back = tx.tx.execute(unstarted).await?;
    let failed = failed.into_iter().map(|row| row.kind).collect();
    Ok(Swept { requeued: requeued.len(), failed, taken_back })
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Jobs that are due and that no worker has begun. Of those that are not handed out, at most [`DEPTH_COUNTED`] are
    /// counted.
    pub due: i64,
    /// Jobs that are handed out and unfinished.
    pub outstanding: i64,
    /// For how many seconds the job that has waited longest has been due.
    pub oldest_due_seconds: i64,
}

/// Up to how many due jobs that are not handed out [`depth`] counts. A longer backlog shows by its age.
pub const DEPTH_COUNTED: i64 = 100_000;

#[derive(QueryableByName)]
struct DepthRow {
    #[diesel(sql_type = BigInt)]
    due: i64,
    #[diesel(sql_type = BigInt)]
    outstanding: i64,
    #[diesel(sql_type = BigInt)]
    oldest_due_seconds: i64,
}

/// How full the queue is.
pub async fn depth(tx: &mut PlatformTx) -> DbResult<Depth> {
    // Jobs that are handed out and jobs that are not are counted apart: each sort has an index and both together have
    // none, and finished jobs stay in the table for long.
    let query = diesel::sql_query(include_str!("dispatch/depth.sql")).bind::<BigInt, _>(DEPTH_COUNTED);
    let row: DepthRow = tx.tx.one(query).await?;
    Ok(Depth { due: row.due, outstanding: row.outstanding, oldest_due_seconds: row.oldest_due_seconds })
}
