//! What a running job can reach, and how it finishes.

use std::{fmt, sync::Arc, time::Duration};

use bulkhead_db::{
    Db, DbResult, Owner, OwnerTx, PlatformTx, TenantTx, gate,
    platform::queue::lease::{self, ClaimedJob},
};
use bulkhead_domain::{Clock, Evidence, JobId, Mac, Proven, TenantId};
use bulkhead_telemetry::Metrics;
use bulkhead_usage::RedisServer;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::error::JobError;

/// What the jobs of one thread share.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) db: Db,
    pub(crate) owner: Owner,
    pub(crate) purger: Owner,
    pub(crate) redis: RedisServer,
    pub(crate) usage_mac: Arc<dyn Mac>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) schema_pool: u16,
}

/// One run of one job.
pub struct JobContext {
    reach: Reach,
    job: ClaimedJob,
}

impl JobContext {
    pub(crate) const fn new(reach: Reach, job: ClaimedJob) -> Self {
        Self { reach, job }
    }

    /// The database.
    pub const fn db(&self) -> &Db {
        &self.reach.db
    }

    /// The owner of all schemas, to build.
    pub const fn owner(&self) -> &Owner {
        &self.reach.owner
    }

    /// The owner of all schemas, to purge.
    pub const fn purger(&self) -> &Owner {
        &self.reach.purger
    }

    /// The Redis of the usage stream.
    pub const fn redis(&self) -> &RedisServer {
        &self.reach.redis
    }

    /// What recognises the entries of the usage stream.
    pub fn usage_mac(&self) -> &dyn Mac {
        &*self.reach.usage_mac
    }

    /// The metrics of the process.
    pub const fn metrics(&self) -> &Metrics {
        &self.reach.metrics
    }

    /// Now.
    pub fn now(&self) -> DateTime<Utc> {
        self.reach.clock.now()
    }

    /// How many schemas are to be ready for tenants to come.
    pub const fn schema_pool(&self) -> u16 {
        self.reach.schema_pool
    }

    /// The job's id.
    pub const fn id(&self) -> JobId {
        self.job.id
    }

    /// Which attempt this is, from 1.
    pub const fn attempt(&self) -> i32 {
        self.job.attempts
    }

    /// The tenant whose job this is. It is proven by the row of `platform.jobs` that was claimed: only a transaction of
    /// that tenant, or the platform, can have written it. `cargo xtask graph` refuses a second file that takes a row for a
    /// proof.
    pub fn tenant(&self) -> Result<Proven<TenantId>, JobError> {
        let tenant = self.job.tenant.ok_or_else(|| JobError::abort("the job belongs to no tenant"))?;
        Ok(Proven::on(Evidence::JobRow, tenant))
    }

    /// Finishes the job in the transaction that carries its effect: both are kept or neither. Fails when the lease was
    /// lost to another worker, which undoes the effect; that worker runs the job again.
    pub async fn finish(&self, tx: &mut impl JobTx, result: Option<Value>) -> DbResult<Finished> {
        tx.finish(&self.job, result.as_ref()).await?;
        Ok(Finished(()))
    }

    /// [`Self::finish`] for a recurring job that is not to run again before the `rest` is over, however short its period.
    pub(crate) async fn finish_and_rest(
        &self,
        tx: &mut PlatformTx,
        result: Value,
        rest: Duration,
    ) -> DbResult<Finished> {
        let finished = self.finish(tx, Some(result)).await?;
        lease::rest(tx, self.job.id, rest).await?;
        Ok(finished)
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobContext({} {}, attempt {})", self.job.kind, self.job.id, self.job.attempts)
    }
}

/// Proves that a job has been finished; only [`JobContext::finish`] makes one.
#[derive(Debug)]
#[must_use = "a handler returns it"]
pub struct Finished(());

/// A transaction that a job can finish in.
pub trait JobTx: sealed::Sealed {}

impl JobTx for PlatformTx {}
impl JobTx for OwnerTx {}
impl JobTx for TenantTx {}

mod sealed {
    use super::{ClaimedJob, DbResult, OwnerTx, PlatformTx, TenantTx, Value, gate, lease};

    pub trait Sealed {
        fn finish(&mut self, job: &ClaimedJob, result: Option<&Value>) -> impl Future<Output = DbResult<()>>;
    }

    impl Sealed for PlatformTx {
        async fn finish(&mut self, job: &ClaimedJob, result: Option<&Value>) -> DbResult<()> {
            lease::finish(self, job.id, job.token, result).await
        }
    }

    impl Sealed for OwnerTx {
        async fn finish(&mut self, job: &ClaimedJob, result: Option<&Value>) -> DbResult<()> {
            lease::finish_as_owner(self, job.id, job.token, result).await
        }
    }

    impl Sealed for TenantTx {
        async fn finish(&mut self, job: &ClaimedJob, result: Option<&Value>) -> DbResult<()> {
            gate::jobs::finish(self, job.id, job.token, result).await
        }
    }
}
