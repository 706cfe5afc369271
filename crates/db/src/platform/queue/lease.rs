//! A job in the hands of the worker that runs it.
//!
//! A lease has a token. Whatever a run reports is accepted only under the token of the lease in force, in the same
//! transaction as the run's effect: a worker that was taken for dead and comes back cannot commit anything.

use std::time::Duration;

use bulkhead_domain::{JobId, TenantId};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::millis;
use crate::engine::{
    error::{DbError, DbResult},
    scope::{OwnerTx, PlatformTx},
    transaction::Tx,
};

/// A job and the right to run it.
#[derive(Clone, Debug)]
pub struct ClaimedJob {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: String,
    /// Whose it is; `None` for the platform's own.
    pub tenant: Option<TenantId>,
    /// Its payload, as it was stored.
    pub payload: serde_json::Value,
    /// Which attempt this is, from 1.
    pub attempts: i32,
    /// How many there may be.
    pub max_attempts: i32,
    /// The lease.
    pub token: LeaseToken,
}

/// Proves that a lease is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub(crate) Uuid);

#[derive(QueryableByName)]
struct ClaimedRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    tenant_id: Option<Uuid>,
    #[diesel(sql_type = Jsonb)]
    payload: serde_json::Value,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Integer)]
    max_attempts: i32,
    #[diesel(sql_type = SqlUuid)]
    lease_token: Uuid,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Takes a lease on a job that is due, or whose lease has run out. `None` when there is nothing to run: an id may be
/// delivered more than once, or too late, or to a worker that does not know the job's kind. Such a job waits for a worker
/// that does: while a new version is rolled out, both kinds of workers are there.
pub async fn claim(
    tx: &mut PlatformTx,
    id: JobId,
    kinds: &[&str],
    lease: Duration,
) -> DbResult<Option<ClaimedJob>> {
    let statement = diesel::sql_query(
        "UPDATE jobs SET state = 'running', attempts = CASE WHEN recurs_every IS NULL THEN attempts + 1 ELSE 1 END, \
             progress = 0, lease_token = gen_random_uuid(), \
             leased_until = clock_timestamp() + $2 * interval '1 millisecond' \
         WHERE id = $1 AND kind = ANY ($3) AND ((state = 'queued' AND run_at <= clock_timestamp()) \
             OR (state = 'running' AND leased_until < clock_timestamp() AND attempts < max_attempts)) \
         RETURNING id, kind, tenant_id, payload, attempts, max_attempts, lease_token",
    )
    .bind::<SqlUuid, _>(id.uuid())
    .bind::<BigInt, _>(millis(lease))
    .bind::<Array<Text>, _>(kinds.to_vec());
    let row: Option<ClaimedRow> = tx.tx.first(statement).await?;
    Ok(row.map(|row| ClaimedJob {
        id: JobId::from_uuid(row.id),
        kind: row.kind,
        tenant: row.tenant_id.map(TenantId::from_uuid),
        payload: row.payload,
        attempts: row.attempts,
        max_attempts: row.max_attempts,
        token: LeaseToken(row.lease_token),
    }))
}

/// Prolongs leases; the jobs whose lease is still in force.
pub async fn renew(
    tx: &mut PlatformTx,
    held: &[(JobId, LeaseToken)],
    lease: Duration,
) -> DbResult<Vec<JobId>> {
    let (ids, tokens) = split(held);
    let statement = diesel::sql_query(
        "UPDATE jobs SET leased_until = clock_timestamp() + $3 * interval '1 millisecond' \
         FROM unnest($1, $2) AS held (id, token) \
         WHERE jobs.id = held.id AND jobs.lease_token = held.token AND jobs.state = 'running' RETURNING jobs.id",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<SqlUuid>, _>(tokens)
    .bind::<BigInt, _>(millis(lease));
    let rows: Vec<IdRow> = tx.tx.load(statement).await?;
    Ok(rows.into_iter().map(|row| JobId::from_uuid(row.id)).collect())
}

/// Finishes a job in the transaction that carries its effect: both are kept or neither. A lease that was lost is
/// [`DbError::Conflict`]. A recurring job goes back into the queue instead.
pub async fn finish(
    tx: &mut PlatformTx,
    id: JobId,
    token: LeaseToken,
    result: Option<&serde_json::Value>,
) -> DbResult<()> {
    finish_in(&mut tx.tx, id, token, result).await
}

/// [`finish`] for a job whose effect needs the owner of all schemas.
pub async fn finish_as_owner(
    tx: &mut OwnerTx,
    id: JobId,
    token: LeaseToken,
    result: Option<&serde_json::Value>,
) -> DbResult<()> {
    finish_in(&mut tx.tx, id, token, result).await
}

async fn finish_in(
    tx: &mut Tx,
    id: JobId,
    token: LeaseToken,
    result: Option<&serde_json::Value>,
) -> DbResult<()> {
    let statement = diesel::sql_query(
        "UPDATE jobs SET state = CASE WHEN recurs_every IS NULL THEN 'succeeded' ELSE 'queued' END, \
             run_at = coalesce(clock_timestamp() + recurs_every, run_at), \
             finished_at = CASE WHEN recurs_every IS NULL THEN clock_timestamp() END, \
             progress = 100, result = $3, error = NULL, pushed_at = NULL, lease_token = NULL, leased_until = NULL \
         WHERE id = $1 AND state = 'running' AND lease_token = $2",
    )
    .bind::<SqlUuid, _>(id.uuid())
    .bind::<SqlUuid, _>(token.0)
    .bind::<Nullable<Jsonb>, _>(result.cloned());
    if tx.execute(statement).await? == 0 {
        return Err(DbError::Conflict);
    }
    Ok(())
}

/// Keeps a recurring job that this transaction has finished from running again before the `rest` is over.
pub async fn rest(tx: &mut PlatformTx, id: JobId, rest: Duration) -> DbResult<()> {
    let statement = diesel::sql_query(
        "UPDATE jobs SET run_at = greatest(run_at, clock_timestamp() + $2 * interval '1 millisecond') \
         WHERE id = $1 AND state = 'queued' AND recurs_every IS NOT NULL",
    )
    .bind::<SqlUuid, _>(id.uuid())
    .bind::<BigInt, _>(millis(rest));
    tx.tx.execute(statement).await?;
    Ok(())
}

/// Puts a job back into the queue after a run that failed, to be tried again after `pause`; a recurring job waits for
/// its period instead. Whether the lease was still in force.
pub async fn retry_later(
    tx: &mut PlatformTx,
    id: JobId,
    token: LeaseToken,
    error: &str,
    pause: Duration,
) -> DbResult<bool> {
    let statement = diesel::sql_query(
        "UPDATE jobs SET state = 'queued', \
             run_at = clock_timestamp() + coalesce(recurs_every, $4 * interval '1 millisecond'), \
             error = $3, pushed_at = NULL, lease_token = NULL, leased_until = NULL \
         WHERE id = $1 AND state = 'running' AND lease_token = $2",
    )
    .bind::<SqlUuid, _>(id.uuid())
    .bind::<SqlUuid, _>(token.0)
    .bind::<Text, _>(error.to_owned())
    .bind::<BigInt, _>(millis(pause));
    Ok(tx.tx.execute(statement).await? > 0)
}

/// Gives a job back after a run that could not begin its work, as if it had not been started: no attempt is used up and no
/// error is told. It is due again after `pause`, or after the period of a recurring job. Whether the lease was still in
/// force.
pub async fn postpone(tx: &mut PlatformTx, id: JobId, token: LeaseToken, pause: Duration) -> DbResult<bool> {
    let statement = diesel::sql_query(
        "UPDATE jobs SET state = 'queued', attempts = greatest(attempts - 1, 0), \
             run_at = clock_timestamp() + coalesce(recurs_every, $3 * interval '1 millisecond'), \
             pushed_at = NULL, lease_token = NULL, leased_until = NULL \
         WHERE id = $1 AND state = 'running' AND lease_token = $2",
    )
    .bind::<SqlUuid, _>(id.uuid())
    .bind::<SqlUuid, _>(token.0)
    .bind::<BigInt, _>(millis(pause));
    Ok(tx.tx.execute(statement).await? > 0)
}

/// Gives a job up; a recurring one goes back into the queue all the same. Whether the lease was still in force.
pub async fn fail(tx: &mut PlatformTx, id: JobId, token: LeaseToken, error: &str) -> DbResult<bool> {
    let statement = diesel::sql_query(
        "UPDATE jobs SET state = CASE WHEN recurs_every IS NULL THEN 'failed' ELSE 'queued' END, \
             run_at = coalesce(clock_timestamp() + recurs_every, run_at), \
             finished_at = CASE WHEN recurs_every IS NULL THEN clock_timestamp() END, \
             error = $3, pushed_at = NULL, lease_token = NULL, leased_until = NULL \
         WHERE id = $1 AND state = 'running' AND lease_token = $2",
    )
    .bind::<SqlUuid, _>(id.uuid())
    .bind::<SqlUuid, _>(token.0)
    .bind::<Text, _>(error.to_owned());
    Ok(tx.tx.execute(statement).await? > 0)
}

/// Gives jobs back that were started and not finished, as if they had not been started: a process that ends hands its
/// work on. How many leases were still in force.
pub async fn release(tx: &mut PlatformTx, held: &[(JobId, LeaseToken)]) -> DbResult<usize> {
    let (ids, tokens) = split(held);
    let statement = diesel::sql_query(
        "UPDATE jobs SET state = 'queued', attempts = greatest(attempts - 1, 0), \
             pushed_at = NULL, lease_token = NULL, leased_until = NULL \
         FROM unnest($1, $2) AS held (id, token) \
         WHERE jobs.id = held.id AND jobs.lease_token = held.token AND jobs.state = 'running'",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<SqlUuid>, _>(tokens);
    tx.tx.execute(statement).await
}

/// In the order of the ids, so that no two statements lock the same rows in different orders.
fn split(held: &[(JobId, LeaseToken)]) -> (Vec<Uuid>, Vec<Uuid>) {
    let mut held: Vec<_> = held.iter().map(|(id, token)| (id.uuid(), token.0)).collect();
    held.sort_unstable();
    held.into_iter().unzip()
}
