//! One run of one job: what it is, what it can reach, and how it finishes.
//!
//! A handler hands its effect over as a closure, and the job ends in the same transaction: both are kept or neither. Only a
//! transaction that was committed makes a [`Finished`], so a handler cannot say that it has finished a job that it has not.

use std::{fmt, time::Duration};

use bulkhead_config::section::Settings;
use bulkhead_db::{
    Authority, DbError, Owner, OwnerTx, PlatformTx, TenantTx, gate,
    platform::{
        audit,
        queue::lease::{self, ClaimedJob},
    },
    tenant::audit::Entry,
};
use bulkhead_domain::{
    Evidence, JobId, Proven, TenantId,
    metering::{MeterName, Quantity},
};
use bulkhead_jobs::TenantJob;
use bulkhead_telemetry::Metrics;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{environment::Environment, error::JobError, jobs::OutgoingMail, pools::Pools};

/// Proves that a job was finished: its end is committed. A handler returns it.
#[derive(Debug)]
#[must_use = "a handler returns it"]
pub struct Finished(());

/// One run of a job of the core.
pub struct JobRun {
    environment: Environment,
    job: ClaimedJob,
}

impl JobRun {
    pub(crate) const fn new(environment: Environment, job: ClaimedJob) -> Self {
        Self { environment, job }
    }

    /// What the job reaches.
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The job's id.
    pub const fn id(&self) -> JobId {
        self.job.id
    }

    /// The tenant whose job it is, as the job's row says: only a transaction of that tenant, or the platform, can have written it.
    pub const fn tenant(&self) -> Option<TenantId> {
        self.job.tenant
    }

    /// Which attempt this is, from 1.
    pub const fn attempt(&self) -> i32 {
        self.job.attempts
    }

    /// Now.
    pub fn now(&self) -> DateTime<Utc> {
        self.environment.clock.now()
    }

    /// Finishes a job that has nothing left to do. `result` is what its owner is shown.
    pub async fn done(&self, result: Value) -> Result<Finished, JobError> {
        self.finish(async |_tx: &mut PlatformTx| Ok(Some(result))).await
    }

    /// Does the job's work in a transaction on the platform's tables, and finishes it there: both are kept or neither. The
    /// work's value is what the job's owner is shown. Fails when the lease was lost to another worker, which undoes the work;
    /// that worker runs the job again.
    pub async fn finish(
        &self,
        work: impl AsyncFnOnce(&mut PlatformTx) -> Result<Option<Value>, JobError>,
    ) -> Result<Finished, JobError> {
        let finish = async |tx: &mut PlatformTx| {
            let result = work(tx).await?;
            Ok::<_, JobError>(lease::finish(tx, self.job.id, self.job.token, result.as_ref()).await?)
        };
        self.environment.db.platform_write(Authority::machinery(), finish).await?;
        Ok(Finished(()))
    }

    /// [`Self::done`] for a recurring job that is not to run again before the `rest` is over, however short its period.
    pub(crate) async fn done_and_rest(&self, result: Value, rest: Duration) -> Result<Finished, JobError> {
        let finish = async |tx: &mut PlatformTx| {
            lease::finish(tx, self.job.id, self.job.token, Some(&result)).await?;
            lease::rest(tx, self.job.id, rest).await
        };
        self.environment.db.platform_write::<_, DbError>(Authority::machinery(), finish).await?;
        Ok(Finished(()))
    }

    /// [`Self::finish`] for work that needs the owner of all schemas.
    pub async fn finish_as_owner(
        &self,
        owner: &Owner,
        work: impl AsyncFnOnce(&mut OwnerTx) -> Result<Value, JobError>,
    ) -> Result<Finished, JobError> {
        let finish = async |tx: &mut OwnerTx| {
            let result = work(tx).await?;
            self.end_as_owner(tx, &result).await
        };
        owner.write(finish).await?;
        Ok(Finished(()))
    }

    /// One step of a job that takes several transactions of the owner of all schemas. The job is finished by the step whose
    /// work yields a value, in the same transaction.
    pub async fn step_as_owner(
        &self,
        owner: &Owner,
        work: impl AsyncFnOnce(&mut OwnerTx) -> Result<Option<Value>, JobError>,
    ) -> Result<Option<Finished>, JobError> {
        let step = async |tx: &mut OwnerTx| match work(tx).await? {
            Some(result) => self.end_as_owner(tx, &result).await.map(|()| true),
            None => Ok(false),
        };
        let is_last = owner.write(step).await?;
        Ok(is_last.then_some(Finished(())))
    }

    /// Adds an entry to the operators' audit log: what the machinery did by itself.
    pub(crate) async fn record(
        &self,
        tx: &mut PlatformTx,
        action: &'static str,
        target: &str,
        changes: Value,
    ) -> Result<(), DbError> {
        let request_id = self.job.id.to_string();
        let entry = Entry {
            at: self.now(),
            actor: "system",
            act: None,
            action,
            target,
            request_id: &request_id,
            address: None,
            changes,
        };
        audit::record(tx, &entry).await
    }

    async fn end_as_owner(&self, tx: &mut OwnerTx, result: &Value) -> Result<(), JobError> {
        Ok(lease::finish_as_owner(tx, self.job.id, self.job.token, Some(result)).await?)
    }
}

impl fmt::Debug for JobRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobRun({} {}, attempt {})", self.job.kind, self.job.id, self.job.attempts)
    }
}

/// One run of a tenant's job. It reaches this tenant's data and nothing else: there is no way from here to another tenant, to
/// the platform's tables or to the owner of schemas.
pub struct JobCall {
    run: JobRun,
    tenant: Proven<TenantId>,
    at: DateTime<Utc>,
}

impl JobCall {
    /// The tenant is proven by the row of `platform.jobs` that was claimed: only a transaction of that tenant, or the platform,
    /// can have written it. `cargo xtask graph` refuses a second file that takes a row for a proof.
    pub(crate) fn of(run: JobRun) -> Result<Self, JobError> {
        let tenant = run.job.tenant.ok_or_else(|| JobError::abort("the job belongs to no tenant"))?;
        let at = run.now();
        Ok(Self { run, tenant: Proven::on(Evidence::JobRow, tenant), at })
    }

    /// The tenant whose job this is.
    pub const fn tenant(&self) -> TenantId {
        self.tenant.get()
    }

    /// The job's id.
    pub const fn id(&self) -> JobId {
        self.run.id()
    }

    /// Which attempt this is, from 1.
    pub const fn attempt(&self) -> i32 {
        self.run.attempt()
    }

    /// What sends mails, where there is an SMTP server.
    pub(crate) const fn mail(&self) -> Option<&OutgoingMail> {
        self.run.environment.mail.as_ref()
    }

    /// The pools in which people are made.
    pub(crate) const fn pools(&self) -> &Pools {
        &self.run.environment.pools
    }

    /// The metrics of the process.
    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.run.environment.metrics
    }

    /// When the run began: the same moment however often it is asked for during a run.
    pub const fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// What the extension is set to. Settings that the application has not registered are an error, after which the job is tried
    /// again.
    pub fn settings<S: Settings>(&self) -> Result<&S, JobError> {
        let settings = self.run.environment.extensions.get();
        settings.ok_or_else(|| JobError::retry(format!("the settings of {} are not registered", S::OWNER)))
    }

    /// Asks for another job, in the transaction of this one's effect.
    pub async fn enqueue<J: TenantJob>(&self, tx: &mut TenantTx, job: &J) -> Result<JobId, JobError> {
        Ok(gate::jobs::enqueue(tx, job, None, self.at).await?)
    }

    /// Counts what the transaction does, in the meter's unit: once, when it is committed.
    pub async fn count(
        &self,
        tx: &mut TenantTx,
        meter: MeterName,
        quantity: Quantity,
    ) -> Result<(), JobError> {
        Ok(gate::usage::count(tx, meter, quantity).await?)
    }

    /// Reads with one statement.
    pub async fn read<T, E: From<DbError>>(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run.environment.db.read(self.tenant, work).await
    }

    /// Reads in several statements that see the same moment.
    pub async fn snapshot<T, E: From<DbError>>(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run.environment.db.snapshot(self.tenant, work).await
    }

    /// Reads and writes, in a transaction of its own: the run may fail after it, and be repeated. What is to happen once
    /// belongs into [`Self::finish`].
    pub async fn write<T, E: From<DbError>>(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run.environment.db.write(self.tenant, work).await
    }

    /// Does the job's work and finishes it, in one transaction: both are kept or neither. The work's value is what the job's
    /// owner is shown. Fails when the lease was lost to another worker, which undoes the work; that worker runs the job again.
    pub async fn finish(
        &self,
        work: impl AsyncFnOnce(&mut TenantTx) -> Result<Option<Value>, JobError>,
    ) -> Result<Finished, JobError> {
        let job = &self.run.job;
        let finish = async |tx: &mut TenantTx| {
            let result = work(tx).await?;
            Ok::<_, JobError>(gate::jobs::finish(tx, job.id, job.token, result.as_ref()).await?)
        };
        self.run.environment.db.write(self.tenant, finish).await?;
        Ok(Finished(()))
    }

    /// Finishes a job that has nothing left to do. `result` is what its owner is shown.
    pub async fn done(&self, result: Value) -> Result<Finished, JobError> {
        self.finish(async |_tx: &mut TenantTx| Ok(Some(result))).await
    }
}

impl fmt::Debug for JobCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobCall({:?} of {})", self.run, self.tenant())
    }
}
