//! Runs jobs.
//!
//! A job that is delivered waits here for two things: a place among its lane's running jobs, then a place among all.
//! Only then is it claimed, so its lease covers work and not waiting. A lane is a tenant, or a kind of the platform's
//! own jobs; jobs of a lane that floods the queue wait for the places of their own lane, and delay no other lane.
//!
//! Jobs run on threads of their own, each with its own connections. What delivers a job may go away; the job goes on.

mod lanes;
mod run;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bulkhead_db::platform::queue::{dispatch::DueJob, lease::LeaseToken};
use bulkhead_domain::JobId;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::LocalPoolHandle};

use crate::{engine::registry::Registry, environment::Environment};
use lanes::Lanes;

/// How jobs are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExecutorOptions {
    pub(crate) concurrency: usize,
    pub(crate) lane_concurrency: usize,
    /// Jobs held at most, running and waiting; what is delivered beyond it is dropped and handed out again later.
    pub(crate) most_held: usize,
    pub(crate) lease: Duration,
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
    /// The pause before a job is due again that could not be begun.
    pub(crate) postponement: Duration,
}

/// Runs jobs; clones share the places.
#[derive(Clone)]
pub(crate) struct Executor {
    inner: Arc<Inner>,
}

struct Inner {
    options: ExecutorOptions,
    registry: Registry,
    kinds: Vec<&'static str>,
    pool: LocalPoolHandle,
    /// One for each thread of the pool.
    environments: Vec<Environment>,
    next_thread: AtomicUsize,
    lanes: Lanes,
    places: Arc<Semaphore>,
    held: Mutex<HashMap<JobId, Stage>>,
    /// Notified whenever a job leaves the executor.
    left: Notify,
    closing: CancellationToken,
}

/// The stage of a job that the executor holds.
enum Stage {
    Waiting,
    Running { token: LeaseToken, stop: CancellationToken },
}

impl Executor {
    pub(crate) fn new(options: ExecutorOptions, registry: Registry, environments: Vec<Environment>) -> Self {
        let inner = Inner {
            options,
            kinds: registry.names(),
            registry,
            pool: LocalPoolHandle::new(environments.len()),
            environments,
            next_thread: AtomicUsize::new(0),
            lanes: Lanes::new(options.lane_concurrency),
            places: Arc::new(Semaphore::new(options.concurrency)),
            held: Mutex::default(),
            left: Notify::new(),
            closing: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Takes a delivered job and resolves when it has left again: it ran, or there was nothing to run. Dropping the
    /// future does not stop the job.
    pub(crate) async fn deliver(&self, job: DueJob) {
        let inner = Arc::clone(&self.inner);
        let Some(held) = Held::take(&inner, job.id) else { return };
        // Ends with the job; a panic there is one of this crate and has been written to standard error.
        drop(tokio::spawn(inner.run_in_turn(job, held)).await);
    }

    /// The leases of all running jobs.
    pub(crate) fn leases(&self) -> Vec<(JobId, LeaseToken)> {
        let held = self.inner.held.lock();
        let running = held.iter().filter_map(|(id, stage)| match stage {
            Stage::Running { token, .. } => Some((*id, *token)),
            Stage::Waiting => None,
        });
        running.collect()
    }

    /// Stops runs, if they are still going on: another worker has their jobs, or is about to get them.
    pub(crate) fn stop(&self, runs: impl IntoIterator<Item = (JobId, LeaseToken)>) {
        let held = self.inner.held.lock();
        for (id, lease) in runs {
            if let Some(Stage::Running { token, stop }) = held.get(&id)
                && *token == lease
            {
                tracing::warn!(job.id = %id, "a running job is stopped");
                stop.cancel();
            }
        }
    }

    /// Waits until a job has left.
    pub(crate) async fn one_left(&self) {
        self.inner.left.notified().await;
    }

    /// Stops starting jobs. Returns those that were waiting.
    pub(crate) fn close(&self) -> Vec<JobId> {
        self.inner.closing.cancel();
        let held = self.inner.held.lock();
        held.iter().filter(|(_, stage)| matches!(stage, Stage::Waiting)).map(|(id, _)| *id).collect()
    }

    /// Waits until every job has left.
    pub(crate) async fn idle(&self) {
        while !self.inner.held.lock().is_empty() {
            // The time-out is for a last job that leaves between the check and the wait.
            drop(tokio::time::timeout(Duration::from_millis(50), self.one_left()).await);
        }
    }
}

impl Inner {
    async fn run_in_turn(self: Arc<Self>, job: DueJob, held: Held) {
        let wait_for_turn = async {
            let lane = self.lanes.enter(&job.lane).await?;
            Some((lane, Arc::clone(&self.places).acquire_owned().await.ok()?))
        };
        let turn = tokio::select! {
            turn = wait_for_turn => turn,
            () = self.closing.cancelled() => None,
        };
        let Some(turn) = turn.filter(|_| !self.closing.is_cancelled()) else { return };
        let thread = self.next_thread.fetch_add(1, Ordering::Relaxed) % self.environments.len().max(1);
        let Some(environment) = self.environments.get(thread).cloned() else { return };
        let inner = Arc::clone(&self);
        let running = self.pool.spawn_pinned_by_idx(move || run::run(inner, environment, job.id), thread);
        // A panic of the job itself is settled inside; any other failure is one of this crate.
        if let Err(error) = running.await {
            tracing::error!(job.id = %job.id, %error, "a job's thread failed; its lease will run out");
        }
        drop((turn, held));
    }

    fn started(&self, id: JobId, token: LeaseToken) -> CancellationToken {
        let stop = CancellationToken::new();
        self.held.lock().insert(id, Stage::Running { token, stop: stop.clone() });
        stop
    }
}

/// A job that the executor holds; it leaves when this is dropped.
struct Held {
    inner: Arc<Inner>,
    id: JobId,
}

impl Held {
    /// `None` when the executor holds the job already (an id may be delivered twice), holds too many or is closing.
    fn take(inner: &Arc<Inner>, id: JobId) -> Option<Self> {
        if inner.closing.is_cancelled() {
            return None;
        }
        let mut held = inner.held.lock();
        if held.contains_key(&id) || held.len() >= inner.options.most_held {
            return None;
        }
        held.insert(id, Stage::Waiting);
        Some(Self { inner: Arc::clone(inner), id })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.inner.held.lock().remove(&self.id);
        self.inner.left.notify_one();
    }
}
