//! One run of one job: claim, run, settle.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bulkhead_db::{
    Authority, DbError,
    platform::queue::lease::{self, ClaimedJob},
};
use bulkhead_domain::JobId;
use bulkhead_telemetry::{chain, metrics::JobOutcome};
use futures::FutureExt as _;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::Inner;
use crate::{
    context::{Finished, JobRun},
    engine::registry::Entry,
    environment::Environment,
    error::JobError,
};

/// What a job's owner is told of a run that failed; the reason itself is for the log.
const TRIED_AGAIN: &str = "the run failed; it will be tried again";
const GIVEN_UP: &str = "every attempt failed";

/// Runs the job if it can be claimed. `closing` between delivery and claim means that it stays where it is.
pub(super) async fn run(inner: Arc<Inner>, environment: Environment, id: JobId) {
    let claim = async |tx: &mut _| lease::claim(tx, id, &inner.kinds, inner.options.lease).await;
    let job = match environment.db.platform_write::<_, DbError>(Authority::machinery(), claim).await {
        Ok(Some(job)) => job,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(job.id = %id, %error, "a job could not be claimed; it will be handed out again");
            return;
        }
    };
    let span = tracing::info_span!(
        "job",
        otel.name = job.kind,
        job.kind = job.kind,
        job.id = %id,
        job.attempt = job.attempts,
        tenant.id = job.tenant.map(tracing::field::display),
    );
    attempt(&inner, environment, job).instrument(span).await;
}

async fn attempt(inner: &Inner, environment: Environment, mut job: ClaimedJob) {
    // Only known kinds are claimed.
    let Some(entry) = inner.registry.find(&job.kind) else { return };
    let stop = inner.started(job.id, job.token);
    // It is the handler's alone: what is told of a run names the job and not its content.
    let payload = job.payload.take();
    let began = Instant::now();
    // The run is dropped when its lease is lost or the process ends. Then another worker has the row, or the code that
    // ends this process gives it back.
    let ran = tokio::select! {
        ran = guarded(entry, JobRun::new(environment.clone(), job.clone()), payload) => ran,
        () = stop.cancelled() => return,
    };
    settle(inner, &environment, &job, ran, entry, began.elapsed()).await;
}

/// Runs the handler within its time, and turns a panic into a failure like any other.
async fn guarded(entry: Entry, run: JobRun, payload: serde_json::Value) -> Result<Finished, JobError> {
    let running = AssertUnwindSafe(async move { (entry.run)(run, payload).await }).catch_unwind();
    match tokio::time::timeout(entry.timeout, running).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(JobError::retry(format!("the job panicked: {}", message(&*panic)))),
        Err(_elapsed) => Err(JobError::retry(format!("the job took longer than {:?}", entry.timeout))),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Writes down what became of a run. A run that finished has done so itself, with its effect.
async fn settle(
    inner: &Inner,
    environment: &Environment,
    job: &ClaimedJob,
    result: Result<Finished, JobError>,
    entry: Entry,
    elapsed: Duration,
) {
    let outcome = match result {
        Ok(_finished) => JobOutcome::Succeeded,
        Err(JobError::Retry(source)) if job.attempts < job.max_attempts => {
            let failures = u32::try_from(job.attempts - 1).unwrap_or_default();
            let pause =
                bulkhead_link::pause(inner.options.first_pause, inner.options.longest_pause, failures);
            tracing::warn!(error = %chain(&*source), retry_in = ?pause, "the job failed and will be tried again");
            write(environment, job, Verdict::Later(pause)).await;
            JobOutcome::Retried
        }
        Err(JobError::Retry(source)) => {
            tracing::error!(error = %chain(&*source), "the job failed for the last time");
            write(environment, job, Verdict::Never(GIVEN_UP)).await;
            JobOutcome::Failed
        }
        Err(JobError::Postpone(source)) => {
            let pause = inner.options.postponement;
            tracing::warn!(error = %chain(&*source), due_in = ?pause, "the job is left to another worker");
            write(environment, job, Verdict::NotYet(pause)).await;
            JobOutcome::Postponed
        }
        Err(JobError::Abort(reason)) => {
            tracing::error!(reason, "the job was given up");
            write(environment, job, Verdict::Never(&reason)).await;
            JobOutcome::Failed
        }
    };
    environment.metrics.jobs.finished(entry.kind, outcome, elapsed);
}

enum Verdict<'a> {
    NotYet(Duration),
    Later(Duration),
    Never(&'a str),
}

/// Writes the verdict. If it cannot be written, the lease runs out and the sweeper decides by the number of attempts.
async fn write(environment: &Environment, job: &ClaimedJob, verdict: Verdict<'_>) {
    let write = async |tx: &mut _| match verdict {
        Verdict::NotYet(pause) => lease::postpone(tx, job.id, job.token, pause).await,
        Verdict::Later(pause) => lease::retry_later(tx, job.id, job.token, TRIED_AGAIN, pause).await,
        Verdict::Never(reason) => lease::fail(tx, job.id, job.token, reason).await,
    };
    match environment.db.platform_write::<_, DbError>(Authority::machinery(), write).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!("the lease was lost before the failure could be written down"),
        Err(error) => tracing::warn!(%error, "the failure could not be written down; the lease will run out"),
    }
}
