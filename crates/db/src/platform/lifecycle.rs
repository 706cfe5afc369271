//! How a tenant leaves, how it comes back, and what becomes of one whose job has given up.
//!
//! Owns the moments at which a tenant's way turns: deleted, restored, purge begun, job asked for again. What a purge
//! then removes, step by step, is in `purge.rs`. A deleted tenant keeps all it has until `purge_after`; from the row
//! in `tenant_purges` on there is no way back. Refuses to restore what was never built, and to wait for ever:
//! [`sweep`] finds what no job will touch. Callers that change a tenant lock its row ([`super::tenants::lock`]). So
//! when a restoration and a purge begin at once, the second waits and sees what the first has done.

use bulkhead_domain::{JobId, TenantId, TenantStatus};
use bulkhead_jobs::{ProvisionTenant, PurgeTenant};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    data_types::PgInterval,
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Interval, Nullable, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{queue::enqueue, tenants::Tenant};
use crate::{
    engine::{error::DbResult, scope::PlatformTx},
    schema::platform::{tenant_purges, tenants},
};

/// How long a tenant that was in service is kept at least: until no node trusts its credentials any more and no request
/// of it is being answered.
const KEPT_AT_LEAST: TimeDelta = TimeDelta::minutes(1);

/// Tenants of each sort that one sweep looks after.
const LIMIT: i64 = 100;

/// The jobs that build the tenant `t`, and those that purge it. A purge is the platform's job, not the tenant's: the
/// tenant's jobs are among what it removes. Its key begins with the tenant's id.
const BUILDS: &str = "j.kind = 'provision_tenant' AND j.tenant_id = t.id";
const PURGES: &str =
    "j.kind = 'purge_tenant' AND j.tenant_id IS NULL AND starts_with(j.idempotency_key, t.id::text)";

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Deletes a tenant that is in service, suspended or still to be built, and whose row is locked. Its credentials are
/// refused once the change is announced. A tenant that was built is kept for as long as `keep`; one that never was has
/// nothing to keep, and its purge begins with this transaction.
pub async fn delete(
    tx: &mut PlatformTx,
    tenant: &Tenant,
    keep: TimeDelta,
    at: DateTime<Utc>,
) -> DbResult<Tenant> {
    let built = tenant.status != TenantStatus::Provisioning;
    let keep = if built { keep.max(KEPT_AT_LEAST) } else { TimeDelta::zero() };
    let keep = PgInterval::from_microseconds(keep.num_microseconds().unwrap_or(i64::MAX));
    let statement = diesel::update(tenants::table.find(tenant.id.uuid()))
        .set((
            tenants::status.eq(TenantStatus::Deleted.as_str()),
            // By the clock that will judge whether the time is over.
            tenants::deleted_at.eq(sql::<Nullable<Timestamptz>>("now()")),
            tenants::purge_after.eq(sql::<Nullable<Timestamptz>>("now() + ").bind::<Interval, _>(keep)),
            tenants::restore_to.eq(built.then_some(tenant.status.as_str())),
            tenants::version.eq(tenants::version + 1),
            tenants::updated_at.eq(at),
        ))
        .returning(Tenant::as_returning());
    let deleted = tx.tx.one(statement).await?;
    if !built {
        begin_purge(tx, tenant.id).await?;
        enqueue_purge(tx, tenant.id, at).await?;
    }
    Ok(deleted)
}

/// Puts a deleted tenant, whose row is locked, back into the state it had. `None` when that cannot be done any more: its
/// purge has begun, as that of a tenant that was never built does at once.
pub async fn restore(tx: &mut PlatformTx, id: TenantId, at: DateTime<Utc>) -> DbResult<Option<Tenant>> {
    let row = tenants::table.filter(tenants::id.eq(id.uuid())).filter(tenants::restore_to.is_not_null());
    let statement = diesel::update(row)
        .set((
            tenants::status.eq(tenants::restore_to.assume_not_null()),
            tenants::deleted_at.eq(None::<DateTime<Utc>>),
            tenants::purge_after.eq(None::<DateTime<Utc>>),
            tenants::restore_to.eq(None::<String>),
            tenants::version.eq(tenants::version + 1),
            tenants::updated_at.eq(at),
        ))
        .returning(Tenant::as_returning());
    tx.tx.first(statement).await
}

/// The job that a tenant waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The job.
    pub job: JobId,
    /// Whether it is a new one or is due earlier than before; otherwise it was only found.
    pub is_changed: bool,
}

/// The job that a tenant, whose row is locked, waits for: the one that builds it, or the one that purges it. When the last
/// one has given up there is a new one; one that waits for its next attempt is due at once. `None` when the tenant waits
/// for no job.
pub async fn retry(tx: &mut PlatformTx, tenant: &Tenant, at: DateTime<Utc>) -> DbResult<Option<Awaited>> {
    let is_building = tenant.status == TenantStatus::Provisioning;
    if !is_building && !is_being_purged(tx, tenant.id).await? {
        return Ok(None);
    }
    let live = live_job(tx, if is_building { BUILDS } else { PURGES }, tenant.id).await?;
    let job = if is_building {
        enqueue_build(tx, tenant.id, at).await?
    } else {
        enqueue_purge(tx, tenant.id, at).await?
    };
    let hasten = diesel::sql_query(
        "UPDATE jobs SET run_at = now() WHERE id = $1 AND state = 'queued' AND run_at > now()",
    );
    let hastened = tx.tx.execute(hasten.bind::<SqlUuid, _>(job.uuid())).await?;
    Ok(Some(Awaited { job, is_changed: live != Some(job) || hastened > 0 }))
}

async fn is_being_purged(tx: &mut PlatformTx, id: TenantId) -> DbResult<bool> {
    let unfinished = tenant_purges::table.find(id.uuid()).filter(tenant_purges::finished_at.is_null());
    let found: Option<Uuid> = tx.tx.first(unfinished.select(tenant_purges::tenant_id)).await?;
    Ok(found.is_some())
}

/// Begins the purge of a tenant whose row is locked, unless it has begun: from here on there is no way back. Whether there
/// is one to go on with; there is none when the tenant is not deleted, or is still kept so that it can be restored.
async fn begin_purge(tx: &mut PlatformTx, id: TenantId) -> DbResult<bool> {
    let begin = diesel::sql_query(
        "WITH begun AS (UPDATE tenants SET restore_to = NULL WHERE id = $1 AND status = 'deleted' \
             AND (restore_to IS NULL OR purge_after <= now()) RETURNING id, slug) \
         INSERT INTO tenant_purges (tenant_id, slug) SELECT id, slug FROM begun ON CONFLICT DO NOTHING",
    );
    tx.tx.execute(begin.bind::<SqlUuid, _>(id.uuid())).await?;
    is_being_purged(tx, id).await
}

async fn enqueue_build(tx: &mut PlatformTx, id: TenantId, at: DateTime<Utc>) -> DbResult<JobId> {
    match live_job(tx, BUILDS, id).await? {
        Some(live) => Ok(live),
        None => enqueue(tx, &ProvisionTenant { tenant: id }, Some(id), None, at).await,
    }
}

async fn enqueue_purge(tx: &mut PlatformTx, id: TenantId, at: DateTime<Utc>) -> DbResult<JobId> {
    match live_job(tx, PURGES, id).await? {
        Some(live) => Ok(live),
        None => {
            let key = format!("{}/{}", id.uuid(), JobId::mint(at));
            enqueue(tx, &PurgeTenant { tenant: id }, None, Some(&key), at).await
        }
    }
}

/// The tenant's job of a sort that is still to end. The tenant's row is locked, so there is at most one.
async fn live_job(tx: &mut PlatformTx, sort: &str, id: TenantId) -> DbResult<Option<JobId>> {
    let query = diesel::sql_query(format!(
        "SELECT j.id FROM jobs j, (SELECT $1 AS id) t WHERE {sort} AND j.state IN ('queued', 'running') LIMIT 1"
    ));
    let row: Option<IdRow> = tx.tx.first(query.bind::<SqlUuid, _>(id.uuid())).await?;
    Ok(row.map(|row| JobId::from_uuid(row.id)))
}

/// What a sweep has set going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Tenants that were still to be built and had no job for it.
    pub building: usize,
    /// Tenants whose purge was due, or was left by its job.
    pub purging: usize,
}

/// Finds the tenants that no job will touch although they wait for one, and asks for it: those that are still to be
/// built, those whose time to be restored is over, and those whose purge was begun. After a job that has given up the
/// next comes a quarter of an hour later, then later each time, up to six hours: an operator may have to mend
/// something first.
pub async fn sweep(tx: &mut PlatformTx, at: DateTime<Utc>) -> DbResult<Swept> {
    let mut swept = Swept::default();
    for id in left_alone(tx, BUILDS, "t.status = 'provisioning'").await? {
        enqueue_build(tx, id, at).await?;
        swept.building += 1;
    }
    let due = "t.status = 'deleted' AND t.id IN (SELECT tenant_id FROM tenant_purges WHERE finished_at IS NULL UNION ALL \
               SELECT id FROM tenants WHERE restore_to IS NOT NULL AND purge_after <= now())";
    for id in left_alone(tx, PURGES, due).await? {
        // An operator may have restored the tenant and deleted it again after the statement that found it had begun.
        // Then it is kept anew, and its purge does not begin here.
        if begin_purge(tx, id).await? {
            enqueue_purge(tx, id, at).await?;
            swept.purging += 1;
        }
    }
    Ok(swept)
}

/// Tenants in a `state` whose jobs of a sort have all ended, the last one long enough ago. Their rows are locked; a tenant
/// that is being changed this moment is passed over until the next sweep.
async fn left_alone(tx: &mut PlatformTx, sort: &str, state: &str) -> DbResult<Vec<TenantId>> {
    let query = diesel::sql_query(format!(
        "SELECT t.id FROM tenants t WHERE {state} \
         AND NOT EXISTS (SELECT FROM jobs j WHERE {sort} AND j.state IN ('queued', 'running')) \
         AND coalesce((SELECT max(j.finished_at) + least( \
                           interval '15 minutes' * power(2, least(count(*), 6) - 1), interval '6 hours') \
                       FROM jobs j WHERE {sort} AND j.state = 'failed') <= now(), true) \
         ORDER BY t.id LIMIT $1 FOR UPDATE OF t SKIP LOCKED"
    ));
    let rows: Vec<IdRow> = tx.tx.load(query.bind::<BigInt, _>(LIMIT)).await?;
    Ok(rows.into_iter().map(|row| TenantId::from_uuid(row.id)).collect())
}
