//! A tenant's own jobs, through the functions and the view of `gate`, and the work of those jobs inside the tenant.

use bulkhead_domain::JobId;
use bulkhead_jobs::TenantJob;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    engine::{
        error::DbResult,
        page::{Page, PageRequest},
        scope::TenantTx,
    },
    platform::queue::{job_columns, lease::LeaseToken, not_retired, payload},
    schema::gate::jobs,
    tenant::one_time_tokens,
};

pub use crate::platform::queue::{JobRow, JobState};

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Asks for a job, in the caller's transaction, to be run as soon as possible. With a `key` that the same kind has used
/// before in this tenant, nothing is added and the id of that job is returned.
pub async fn enqueue<J: TenantJob>(
    tx: &mut TenantTx,
    job: &J,
    key: Option<&str>,
    at: DateTime<Utc>,
) -> DbResult<JobId> {
    const { not_retired::<J>() };
    let call = diesel::sql_query("SELECT gate.enqueue_job($1, $2, $3, $4, $5, NULL) AS id")
        .bind::<SqlUuid, _>(JobId::mint(at).uuid())
        .bind::<Text, _>(J::KIND)
        .bind::<Jsonb, _>(payload(job)?)
        .bind::<Integer, _>(J::MAX_ATTEMPTS)
        .bind::<Nullable<Text>, _>(key.map(ToOwned::to_owned));
    let row: IdRow = tx.tx.one(call).await?;
    Ok(JobId::from_uuid(row.id))
}

/// Finishes a job in the transaction that carries its effect: both are kept or neither. Fails when the lease is lost.
pub async fn finish(
    tx: &mut TenantTx,
    id: JobId,
    token: LeaseToken,
    result: Option<&serde_json::Value>,
) -> DbResult<()> {
    let call = diesel::sql_query("SELECT gate.finish_job($1, $2, $3)")
        .bind::<SqlUuid, _>(id.uuid())
        .bind::<SqlUuid, _>(token.0)
        .bind::<Nullable<Jsonb>, _>(result.cloned());
    tx.tx.execute(call).await?;
    Ok(())
}

/// The job with this id.
pub async fn find(tx: &mut TenantTx, id: JobId) -> DbResult<Option<JobRow>> {
    tx.tx.first(jobs::table.find(id.uuid()).select(job_columns!(jobs))).await
}

/// Jobs, the newest first.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> DbResult<Page<JobRow>> {
    let mut query =
        jobs::table.select(job_columns!(jobs)).order(jobs::id.desc()).limit(page.probe()).into_boxed();
    if let Some(before) = page.after {
        query = query.filter(jobs::id.lt(before));
    }
    Ok(Page::cut(tx.tx.load(query).await?, page))
}

/// Deletes expired sessions, one-time tokens and idempotency keys, and API keys that were revoked or have expired thirty days ago, at most
/// `limit` of each; how many it were. What was done with a key stays in the audit log.
pub async fn purge_expired(tx: &mut TenantTx, limit: u16) -> DbResult<usize> {
    let limit = i64::from(limit);
    let sessions = diesel::sql_query(
        "DELETE FROM sessions WHERE ctid = ANY (ARRAY( \
             SELECT ctid FROM sessions WHERE expires_at < now() LIMIT $1 FOR UPDATE SKIP LOCKED))",
    );
    let keys = diesel::sql_query(
        "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY( \
             SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '24 hours' \
             LIMIT $1 FOR UPDATE SKIP LOCKED))",
    );
    let api_keys = diesel::sql_query(
        "DELETE FROM api_keys WHERE ctid = ANY (ARRAY( \
             SELECT ctid FROM api_keys WHERE least(revoked_at, expires_at) < now() - interval '30 days' \
             LIMIT $1 FOR UPDATE SKIP LOCKED))",
    );
    let tokens = one_time_tokens::sweep(tx, limit).await?;
    let sessions = tx.tx.execute(sessions.bind::<BigInt, _>(limit)).await?;
    let keys = tx.tx.execute(keys.bind::<BigInt, _>(limit)).await?;
    let api_keys = tx.tx.execute(api_keys.bind::<BigInt, _>(limit)).await?;
    Ok(tokens + sessions + keys + api_keys)
}
