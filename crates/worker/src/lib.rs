//! Background jobs: what runs them, again and again until they are done.
//!
//! Owns the way of a job from its row in `platform.jobs` to its effect: the relay hands due jobs to apalis on Redis, apalis
//! delivers them, the executor claims and runs them, the sweeper puts right what was lost on the way. The row is the
//! truth; Redis, this process and every other worker may vanish at any moment. Refuses to keep anything of its own.
//!
//! What holds, whatever fails:
//!
//! - A job's effect and its end commit together, under a lease that only one run holds: the effect happens once.
//! - A job that is not finished is run again: after a failure, later each time; after a crash, when its lease runs out.
//! - Without Redis jobs run a few seconds late, straight from their rows.
//! - A lane, which is a tenant or a kind of the platform's own jobs, never holds up another.
//!
//! `jobs` says what the core's jobs do; an application's extensions bring theirs as [`Jobs`]. README.md tells how to add one.

mod anchor;
mod context;
mod engine;
mod environment;
mod error;
mod jobs;
mod pools;

pub use anchor::{AnchorError, AnchorPlace, Anchoring, Written};
pub use context::{Finished, JobCall, JobRun};
pub use engine::{
    registry::{CoreJobs, JobHandler, Jobs, Registry, RegistryError, TenantJobHandler, TransactionalJob},
    schedule::Every,
    worker::{Dependencies, WorkerOptions, run},
};
pub use environment::Environment;
pub use error::{JobError, WorkerError};
pub use jobs::OutgoingMail;
pub use pools::Pools;
