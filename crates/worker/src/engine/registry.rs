//! Which code runs which kind of job.

use std::time::Duration;

use bulkhead_jobs::{
    AggregateUsage, DecideScaling, FillSchemaPool, Job, KeepHouse, ProvisionTenant, PurgeExpired,
    PurgeTenant, SweepTenants,
};
use futures::future::LocalBoxFuture;
use serde_json::Value;

use crate::{
    context::{Finished, JobContext},
    error::JobError,
};

/// The behaviour of a job.
pub trait Handle: Job + 'static {
    /// How long a run may take. One that takes longer is stopped, and counts as failed.
    const TIMEOUT: Duration;

    /// Runs the job. It may be run more than once, also at the same time by a worker that was taken for dead: the effect
    /// belongs into the transaction that finishes the job; what cannot be there must not mind being repeated.
    fn run(self, context: &JobContext) -> impl Future<Output = Result<Finished, JobError>>;
}

type Run = fn(JobContext, Value) -> LocalBoxFuture<'static, Result<Finished, JobError>>;

/// How one kind of job is run.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    pub(crate) timeout: Duration,
    pub(crate) run: Run,
}

/// The kinds of jobs that a worker knows.
#[derive(Clone)]
pub struct Registry {
    entries: Vec<Entry>,
}

impl Registry {
    /// A registry that knows no job.
    pub const fn empty() -> Self {
        Self { entries: Vec::new() }
    }

    /// The product's jobs.
    pub fn standard() -> Self {
        Self::empty()
            .with::<ProvisionTenant>()
            .with::<AggregateUsage>()
            .with::<DecideScaling>()
            .with::<FillSchemaPool>()
            .with::<KeepHouse>()
            .with::<PurgeExpired>()
            .with::<PurgeTenant>()
            .with::<SweepTenants>()
    }

    /// Adds a kind.
    #[must_use]
    pub fn with<J: Handle>(mut self) -> Self {
        let run: Run = |context, payload| {
            Box::pin(async move {
                let job: J = serde_json::from_value(payload).map_err(|error| {
                    tracing::error!(%error, "a job's payload cannot be read");
                    JobError::abort("the job's payload cannot be read")
                })?;
                job.run(&context).await
            })
        };
        self.entries.push(Entry { kind: J::KIND, timeout: J::TIMEOUT, run });
        self
    }

    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.entries.iter().map(|entry| entry.kind).collect()
    }

    pub(crate) fn find(&self, kind: &str) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.kind == kind).copied()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| entry.kind)).finish()
    }
}
