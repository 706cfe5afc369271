//! The goals, one file each.

mod auth;
mod crowds;
mod growth;
mod latency;
mod limits;
mod memory;
mod migrate;
mod prices;
mod provision;
mod read;
mod write;

pub(crate) use auth::auth;
pub(crate) use crowds::crowds;
pub(crate) use growth::{growth, sizes};
pub(crate) use latency::latency;
pub(crate) use limits::limits;
pub(crate) use memory::{backends, process};
pub(crate) use migrate::{PROVISIONER_URL, add_column_as_child, migrations};
pub(crate) use prices::{metering, steps};
pub(crate) use provision::{FEW, provisioning};
pub(crate) use read::read;
pub(crate) use write::write;

use std::time::Duration;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Pairs of slices that count.
    pub(crate) pairs: usize,
    /// How long a slice is.
    pub(crate) slice: Duration,
    /// How long the same load goes on unmeasured before a slice, where another load has gone before: until tokens are taken
    /// ahead again, credentials are remembered, and what the other has used is in the rollups.
    pub(crate) lead: Duration,
    /// Tenants on the stage.
    pub(crate) tenants: usize,
    /// Requests of the endurance run.
    pub(crate) requests: f64,
}

impl Effort {
    /// What the figures in README.md are made with.
    pub(crate) const FULL: Self = Self {
        pairs: 8,
        slice: Duration::from_secs(4),
        lead: Duration::from_secs(10),
        tenants: 1_000,
        requests: 1_000_000.0,
    };
}
