//! What can go wrong with a job, sorted by what is to happen next.

use std::error::Error;

use bulkhead_db::DbError;

/// A run of a job that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// It may work another time: the job is run again, later each time, until it has used up its attempts. The source is
    /// for the log; the job's owner is only told that it will be tried again.
    #[error("the run failed")]
    Retry(#[source] Box<dyn Error + Send + Sync>),

    /// It cannot be begun by this program, or not yet, which says nothing about the job: it goes back into the queue as if it
    /// had not been started, without an attempt used up or an error told, and is due again after a pause. So it waits for a
    /// worker that can, however long that takes. The source is for the log.
    #[error("the run could not begin")]
    Postpone(#[source] Box<dyn Error + Send + Sync>),

    /// It will never work: the job is given up at once. The reason is shown to the job's owner, so it names nothing
    /// internal.
    #[error("{0}")]
    Abort(String),
}

impl JobError {
    /// A failure that may pass.
    pub fn retry(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Retry(source.into())
    }

    /// A failure that will not pass, in words fit for the job's owner.
    pub fn abort(reason: impl Into<String>) -> Self {
        Self::Abort(reason.into())
    }
}

/// An error of the database is a reason to retry, for the database may be repaired. A job that can never succeed says
/// so itself, with [`JobError::Abort`]. A program that is older than the schema, as after a rollback, is no failure of
/// the job.
impl From<DbError> for JobError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Outdated | DbError::NotMigrated => Self::Postpone(Box::new(error)),
            other => Self::retry(other),
        }
    }
}

/// Why a worker cannot run at all. What is away for a while is not among it: the worker waits for that.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It was given no threads to run jobs on.
    #[error("a worker needs at least one thread")]
    NoThreads,
}
