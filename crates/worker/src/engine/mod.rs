//! The way of a job from its row to its effect, whatever the job is.

pub(crate) mod executor;
pub(crate) mod queue;
pub(crate) mod registry;
pub(crate) mod relay;
pub(crate) mod schedule;
pub(crate) mod sweeper;
pub(crate) mod worker;
