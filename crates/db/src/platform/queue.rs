//! The queue's truth: `platform.jobs`.
//!
//! Redis only carries ids of rows of this table, so whatever happens to Redis, nothing is lost here. This module writes
//! jobs and shows them; [`kinds`] says what jobs there are, [`dispatch`] which are to run next, [`lease`] lends one to the worker
//! that runs it. All times are the server's: the clocks of nodes do not matter.

pub mod dispatch;
pub mod kinds;
pub mod lease;

use std::{str::FromStr, time::Duration};

use bulkhead_domain::{JobId, TenantId, TextError};
use bulkhead_jobs::{Job, TenantJob};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    engine::{
        error::{DbError, DbResult},
        page::{Page, PageRequest},
        scope::PlatformTx,
    },
    schema::platform::jobs,
};

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Waits for its turn, or for its next try.
    Queued,
    /// A worker runs it.
    Running,
    /// Done.
    Succeeded,
    /// Given up.
    Failed,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed];

    /// The word the database and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more will happen to the job.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl FromStr for JobState {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(TextError::new("must be queued, running, succeeded or failed"))
    }
}

impl TryFrom<String> for JobState {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

/// A job as people see it. Its id is also the id of the operation that a client watches.
#[derive(Clone, Debug, Queryable)]
pub struct JobRow {
    /// Its id.
    #[diesel(deserialize_as = Uuid)]
    pub id: JobId,
    /// What it does.
    pub kind: String,
    /// Where it is in its life.
    #[diesel(deserialize_as = String)]
    pub state: JobState,
    /// How often it was started.
    pub attempts: i32,
    /// How often it may be started.
    pub max_attempts: i32,
    /// When it is to run, or was.
    pub run_at: DateTime<Utc>,
    /// How far it is, in per cent.
    pub progress: i16,
    /// What came of it.
    pub result: Option<serde_json::Value>,
    /// Why its last run failed, in words fit for its owner.
    pub error: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it succeeded or was given up.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The columns of a [`JobRow`], of the table or of a tenant's view of it.
macro_rules! job_columns {
    ($table:ident) => {
        (
            $table::id,
            $table::kind,
            $table::state,
            $table::attempts,
            $table::max_attempts,
            $table::run_at,
            $table::progress,
            $table::result,
            $table::error,
            $table::created_at,
            $table::finished_at,
        )
    };
}
pub(crate) use job_columns;

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Asks for a job, in the caller's transaction, to be run as soon as possible. The job belongs to `tenant`, or to the
/// platform when it is `None`. With a `key` that the same kind and tenant have used before, nothing is added and the
/// id of that job is returned.
pub async fn enqueue<J: Job>(
    tx: &mut PlatformTx,
    job: &J,
    tenant: Option<TenantId>,
    key: Option<&str>,
    at: DateTime<Utc>,
) -> DbResult<JobId> {
    const { not_retired::<J>() };
    let statement = diesel::sql_query(include_str!("queue/enqueue.sql"))
        .bind::<SqlUuid, _>(JobId::mint(at).uuid())
        .bind::<Text, _>(J::KIND)
        .bind::<Nullable<SqlUuid>, _>(tenant.map(TenantId::uuid))
        .bind::<Jsonb, _>(payload(job)?)
        .bind::<Integer, _>(J::MAX_ATTEMPTS)
        .bind::<Nullable<Text>, _>(key.map(ToOwned::to_owned));
    // No row means that another transaction took the key after this statement's snapshot: it is there on the next try.
    let row: IdRow = tx.tx.first(statement).await?.ok_or(DbError::Conflict)?;
    Ok(JobId::from_uuid(row.id))
}

/// Asks for the same job in many tenants; how many were added. A tenant whose `key` was used before is passed over.
pub async fn enqueue_for_tenants<J: TenantJob>(
    tx: &mut PlatformTx,
    job: &J,
    key: &str,
    tenants: &[TenantId],
    at: DateTime<Utc>,
) -> DbResult<usize> {
    const { not_retired::<J>() };
    let (ids, tenants): (Vec<Uuid>, Vec<Uuid>) =
        tenants.iter().map(|tenant| (JobId::mint(at).uuid(), tenant.uuid())).unzip();
    let statement = diesel::sql_query(
        "INSERT INTO jobs (id, kind, tenant_id, payload, max_attempts, idempotency_key) \
         SELECT added.id, $1, added.tenant_id, $2, $3, $4 FROM unnest($5, $6) AS added (id, tenant_id) \
         ON CONFLICT (kind, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), idempotency_key) \
             WHERE idempotency_key IS NOT NULL DO NOTHING",
    )
    .bind::<Text, _>(J::KIND)
    .bind::<Jsonb, _>(payload(job)?)
    .bind::<Integer, _>(J::MAX_ATTEMPTS)
    .bind::<Text, _>(key.to_owned())
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<SqlUuid>, _>(tenants);
    tx.tx.execute(statement).await
}

/// Sees to it that there is one job of this kind, run again and again with `every` between the end of one run and the
/// start of the next.
pub async fn ensure_recurring<J: Job + Default>(
    tx: &mut PlatformTx,
    every: Duration,
    at: DateTime<Utc>,
) -> DbResult<()> {
    const { not_retired::<J>() };
    let statement = diesel::sql_query(
        "INSERT INTO jobs (id, kind, payload, max_attempts, idempotency_key, recurs_every) \
         VALUES ($1, $2, $3, $4, 'recurring', $5 * interval '1 millisecond') \
         ON CONFLICT (kind, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), idempotency_key) \
             WHERE idempotency_key IS NOT NULL \
         DO UPDATE SET recurs_every = excluded.recurs_every, run_at = least(jobs.run_at, now() + excluded.recurs_every) \
         WHERE jobs.recurs_every IS DISTINCT FROM excluded.recurs_every",
    )
    .bind::<SqlUuid, _>(JobId::mint(at).uuid())
    .bind::<Text, _>(J::KIND)
    .bind::<Jsonb, _>(payload(&J::default())?)
    .bind::<Integer, _>(J::MAX_ATTEMPTS)
    .bind::<BigInt, _>(millis(every));
    tx.tx.execute(statement).await?;
    Ok(())
}

/// The job with this id, of any tenant or of the platform.
pub async fn operation(tx: &mut PlatformTx, id: JobId) -> DbResult<Option<JobRow>> {
    tx.tx.first(jobs::table.find(id.uuid()).select(job_columns!(jobs))).await
}

/// Which jobs to list; `None` is no restriction.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobFilter<'a> {
    /// Only in this state.
    pub state: Option<JobState>,
    /// Only of this kind.
    pub kind: Option<&'a str>,
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
}

/// Jobs, the newest first.
pub async fn list(tx: &mut PlatformTx, filter: JobFilter<'_>, page: PageRequest) -> DbResult<Page<JobRow>> {
    let mut query =
        jobs::table.select(job_columns!(jobs)).order(jobs::id.desc()).limit(page.probe()).into_boxed();
    if let Some(state) = filter.state {
        query = query.filter(jobs::state.eq(state.as_str()));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(jobs::kind.eq(kind.to_owned()));
    }
    if let Some(tenant) = filter.tenant {
        query = query.filter(jobs::tenant_id.eq(tenant.uuid()));
    }
    if let Some(before) = page.after {
        query = query.filter(jobs::id.lt(before));
    }
    Ok(Page::cut(tx.tx.load(query).await?, page))
}

/// Stops the compilation of code that enqueues a retired job.
///
/// ```compile_fail,E0080
/// use std::pin::Pin;
/// # use bulkhead_db::{DbResult, PlatformTx, platform::queue};
/// # use bulkhead_domain::JobId;
/// # type At = chrono::DateTime<chrono::Utc>;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct SendFax {}
///
/// impl bulkhead_jobs::Job for SendFax {
///     const KIND: &'static str = "send_fax";
///     const RETIRED: bool = true;
/// }
///
/// type Sending<'a> = Pin<Box<dyn Future<Output = DbResult<JobId>> + 'a>>;
/// fn send(tx: &mut PlatformTx, at: At) -> Sending<'_> {
///     Box::pin(async move { queue::enqueue(tx, &SendFax {}, None, None, at).await })
/// }
/// std::hint::black_box(send as fn(&mut PlatformTx, At) -> Sending<'_>);
/// ```
///
/// The same of one that is not retired compiles:
///
/// ```
/// use std::pin::Pin;
/// # use bulkhead_db::{DbResult, PlatformTx, platform::queue};
/// # use bulkhead_domain::JobId;
/// # type At = chrono::DateTime<chrono::Utc>;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct SendMail {}
///
/// impl bulkhead_jobs::Job for SendMail {
///     const KIND: &'static str = "send_mail";
/// }
///
/// type Sending<'a> = Pin<Box<dyn Future<Output = DbResult<JobId>> + 'a>>;
/// fn send(tx: &mut PlatformTx, at: At) -> Sending<'_> {
///     Box::pin(async move { queue::enqueue(tx, &SendMail {}, None, None, at).await })
/// }
/// std::hint::black_box(send as fn(&mut PlatformTx, At) -> Sending<'_>);
/// ```
pub(crate) const fn not_retired<J: Job>() {
    assert!(!J::RETIRED, "a retired job cannot be enqueued");
}

pub(crate) fn payload<J: Job>(job: &J) -> DbResult<serde_json::Value> {
    serde_json::to_value(job)
        .map_err(|error| DbError::Query(diesel::result::Error::SerializationError(Box::new(error))))
}

/// A duration as the statements of this module take it.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
