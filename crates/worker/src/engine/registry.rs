//! Which code runs which kind of job, and what recurs.
//!
//! Owners declare their jobs ([`Jobs`]); a [`Registry`] is made of the declarations of the core and of every extension, and
//! refuses what does not go together: a kind that is declared twice, or one that is not named after its owner. Code is
//! registered as plain functions, so a registry is data that threads share.

use std::{collections::HashMap, fmt, time::Duration};

use bulkhead_db::{TenantTx, platform::queue::kinds::JobKind};
use bulkhead_jobs::{Job, TenantJob};
use futures::future::LocalBoxFuture;
use serde_json::Value;

use super::schedule::{EachTenant, Every, Recurring};
use crate::{
    context::{Finished, JobCall, JobRun},
    error::JobError,
};

/// The behaviour of a job of the core.
pub trait JobHandler: Job {
    /// How long a run may take. One that takes longer is stopped, and counts as failed.
    const TIMEOUT: Duration = Duration::from_mins(1);

    /// Runs the job. It may be run more than once, also at the same time by a worker that was taken for dead: the effect
    /// belongs into the transaction that finishes the job; what cannot be there must not mind being repeated.
    fn run(self, run: &JobRun) -> impl Future<Output = Result<Finished, JobError>>;
}

/// The behaviour of a tenant's job, which reaches that tenant alone.
pub trait TenantJobHandler: TenantJob {
    /// How long a run may take. One that takes longer is stopped, and counts as failed.
    const TIMEOUT: Duration = Duration::from_mins(1);

    /// Runs the job. It may be run more than once, also at the same time by a worker that was taken for dead: the effect
    /// belongs into the transaction that finishes the job ([`JobCall::finish`]); what cannot be there must not mind being
    /// repeated.
    fn run(self, call: &JobCall) -> impl Future<Output = Result<Finished, JobError>>;
}

/// The behaviour of a tenant's job that is one transaction and nothing else, as most are.
pub trait TransactionalJob: TenantJob {
    /// How long a run may take. One that takes longer is stopped, and counts as failed.
    const TIMEOUT: Duration = Duration::from_mins(1);

    /// Does the job's work in the transaction that finishes the job: both are kept or neither, so that the work is done once
    /// however often the job is run. Its value is what the job's owner is shown. What cannot be undone (mail, a payment) does not
    /// belong here, but into a [`TenantJobHandler`].
    fn run(self, call: &JobCall, tx: &mut TenantTx) -> impl Future<Output = Result<Option<Value>, JobError>>;
}

impl<J: TransactionalJob> TenantJobHandler for J {
    const TIMEOUT: Duration = <J as TransactionalJob>::TIMEOUT;

    async fn run(self, call: &JobCall) -> Result<Finished, JobError> {
        call.finish(async |tx| TransactionalJob::run(self, call, tx).await).await
    }
}

type Run = fn(JobRun, Value) -> LocalBoxFuture<'static, Result<Finished, JobError>>;

/// How one kind of job is run.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    pub(crate) timeout: Duration,
    by_tenants: bool,
    pub(crate) run: Run,
}

/// The owner of the jobs that no extension brings.
const CORE: &str = "core";

/// The jobs of one owner. An extension's are tenants' jobs and nothing else; what sees more is declared as [`CoreJobs`].
#[derive(Clone)]
pub struct Jobs {
    owner: &'static str,
    entries: Vec<Entry>,
    recurring: Vec<Recurring>,
    each_tenant: Vec<EachTenant>,
}

impl Jobs {
    /// No jobs yet, of the extension with this name. The name of each of its kinds begins with it and a dot.
    pub const fn of(owner: &'static str) -> Self {
        Self { owner, entries: Vec::new(), recurring: Vec::new(), each_tenant: Vec::new() }
    }

    /// The core's jobs.
    pub fn core() -> Self {
        crate::jobs::core().into()
    }

    /// Adds a kind that runs inside one tenant.
    #[must_use]
    pub fn with_tenant<J: TenantJobHandler>(mut self) -> Self {
        const { attempts_are_bounded::<J>() };
        let run: Run = |run, payload| {
            Box::pin(async move {
                let job = decode::<J>(payload)?;
                job.run(&JobCall::of(run)?).await
            })
        };
        self.entries.push(Entry { kind: J::KIND, timeout: J::TIMEOUT, by_tenants: !J::RETIRED, run });
        self
    }

    /// Adds a kind that every tenant that has a schema runs once a period, at a time in it that the worker chooses. A tenant
    /// that is new has its first run within minutes.
    #[must_use]
    pub fn each_tenant<J: TenantJobHandler + Default>(mut self, every: Every) -> Self {
        self.each_tenant.push(EachTenant::new::<J>(every));
        self.with_tenant::<J>()
    }
}

/// Jobs of the core: those that see what the core sees, beside those of tenants. `bulkhead::Extension` has no way to take
/// them.
#[derive(Clone, Debug)]
pub struct CoreJobs(Jobs);

impl CoreJobs {
    /// No jobs yet.
    pub const fn new() -> Self {
        Self(Jobs::of(CORE))
    }

    /// Adds a kind that sees what the core sees.
    #[must_use]
    pub fn with<J: JobHandler>(mut self) -> Self {
        const { attempts_are_bounded::<J>() };
        let run: Run = |run, payload| Box::pin(async move { decode::<J>(payload)?.run(&run).await });
        self.0.entries.push(Entry { kind: J::KIND, timeout: J::TIMEOUT, by_tenants: false, run });
        self
    }

    /// Adds a kind that sees what the core sees, and that tenants' transactions may ask for. It takes the tenant from the job's
    /// row, never from the payload.
    #[must_use]
    pub fn asked_by_tenants<J: JobHandler + TenantJob>(mut self) -> Self {
        self = self.with::<J>();
        if let Some(entry) = self.0.entries.last_mut() {
            entry.by_tenants = !J::RETIRED;
        }
        self
    }

    /// Adds such a kind that runs again and again, with this pause between the end of one run and the start of the next.
    #[must_use]
    pub fn recurring<J: JobHandler + Default>(mut self, every: Duration) -> Self {
        self.0.recurring.push(Recurring::new::<J>(every));
        self.with::<J>()
    }

    /// Adds a tenants' kind, as [`Jobs::with_tenant`] does.
    #[must_use]
    pub fn with_tenant<J: TenantJobHandler>(self) -> Self {
        Self(self.0.with_tenant::<J>())
    }

    /// Adds a tenants' kind, as [`Jobs::each_tenant`] does.
    #[must_use]
    pub fn each_tenant<J: TenantJobHandler + Default>(self, every: Every) -> Self {
        Self(self.0.each_tenant::<J>(every))
    }
}

impl Default for CoreJobs {
    fn default() -> Self {
        Self::new()
    }
}

impl From<CoreJobs> for Jobs {
    fn from(jobs: CoreJobs) -> Self {
        jobs.0
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.entries.iter().map(|entry| entry.kind);
        write!(f, "Jobs of {} ", self.owner)?;
        f.debug_list().entries(kinds).finish()
    }
}

/// PostgreSQL has the same bounds.
const fn attempts_are_bounded<J: Job>() {
    assert!(J::MAX_ATTEMPTS >= 1 && J::MAX_ATTEMPTS <= 25, "a job is run 1 to 25 times");
}

fn decode<J: Job>(payload: Value) -> Result<J, JobError> {
    serde_json::from_value(payload).map_err(|error| {
        tracing::error!(%error, "a job's payload cannot be read");
        JobError::abort("the job's payload cannot be read")
    })
}

/// Why the jobs of an application cannot stand beside each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Two owners declare one kind, or one does so twice.
    #[error("the job {kind} is declared by {first} and by {second}")]
    Twice {
        /// The kind.
        kind: &'static str,
        /// Who declared it first.
        first: &'static str,
        /// Who declared it again.
        second: &'static str,
    },
    /// A kind whose name is not its owner's.
    #[error(
        "the job '{kind}' of {owner}: a name is {owner}. and then 1 to 40 of a-z, 0-9 and _, which begin with a letter"
    )]
    Name {
        /// The kind.
        kind: &'static str,
        /// The owner.
        owner: &'static str,
    },
    /// A time that is too short or too long.
    #[error("the job {kind} of {owner}: {reason}")]
    Time {
        /// The kind.
        kind: &'static str,
        /// The owner.
        owner: &'static str,
        /// Which times there are.
        reason: &'static str,
    },
}

/// The kinds of jobs that a worker knows, which were found to go together.
#[derive(Clone)]
pub struct Registry {
    entries: Vec<Entry>,
    recurring: Vec<Recurring>,
    each_tenant: Vec<EachTenant>,
}

impl Registry {
    /// The jobs of these owners.
    pub fn new(owners: impl IntoIterator<Item = Jobs>) -> Result<Self, RegistryError> {
        let mut registry = Self { entries: Vec::new(), recurring: Vec::new(), each_tenant: Vec::new() };
        let mut taken: HashMap<&str, &'static str> = HashMap::new();
        for jobs in owners {
            for Entry { kind, timeout, .. } in &jobs.entries {
                judge(jobs.owner, kind, *timeout)?;
                if let Some(first) = taken.insert(kind, jobs.owner) {
                    return Err(RegistryError::Twice { kind, first, second: jobs.owner });
                }
            }
            for Recurring { kind, every, .. } in &jobs.recurring {
                if *every < Duration::from_secs(1) {
                    let reason = "the pause between two runs is at least a second";
                    return Err(RegistryError::Time { kind, owner: jobs.owner, reason });
                }
            }
            registry.entries.extend(jobs.entries);
            registry.recurring.extend(jobs.recurring);
            registry.each_tenant.extend(jobs.each_tenant);
        }
        Ok(registry)
    }

    /// The kinds, as `migrate` declares them.
    pub fn kinds(&self) -> Vec<JobKind> {
        let kind = |entry: &Entry| JobKind { name: entry.kind, by_tenants: entry.by_tenants };
        self.entries.iter().map(kind).collect()
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.entries.iter().map(|entry| entry.kind).collect()
    }

    pub(crate) fn find(&self, kind: &str) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.kind == kind).copied()
    }

    pub(crate) fn recurring(&self) -> &[Recurring] {
        &self.recurring
    }

    pub(crate) fn each_tenant(&self) -> &[EachTenant] {
        &self.each_tenant
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

fn judge(owner: &'static str, kind: &'static str, timeout: Duration) -> Result<(), RegistryError> {
    // The core's kinds have no dot, so none of an extension is one of them.
    let own = if owner == CORE {
        Some(kind)
    } else {
        kind.strip_prefix(owner).and_then(|rest| rest.strip_prefix('.'))
    };
    let own = own.unwrap_or_default();
    let clean = own.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !(clean && own.starts_with(|first: char| first.is_ascii_lowercase()) && own.len() <= 40) {
        return Err(RegistryError::Name { kind, owner });
    }
    if !(Duration::from_secs(1)..=Duration::from_hours(1)).contains(&timeout) {
        let reason = "its time-out is between a second and an hour";
        return Err(RegistryError::Time { kind, owner, reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
