//! What jobs of the core reach.
//!
//! Owns the one list of it, [`Environment`]. The jobs of an extension ([`crate::Jobs`]) are tenants' jobs alone: one gets a
//! [`crate::JobCall`], which reaches the tenant whose job it is. Jobs that see this list are [`crate::CoreJobs`]. Nothing here
//! refuses them from a crate that names this one; `cargo xtask graph` lets no extension do that.

use std::{fmt, sync::Arc};

use bulkhead_auth::SigningKeyMaker;
use bulkhead_config::Extensions;
use bulkhead_db::{Db, Owner};
use bulkhead_domain::{Clock, Mac};
use bulkhead_link::RedisServer;
use bulkhead_telemetry::Metrics;
use bulkhead_usage::Bound;

use crate::{anchor::Anchoring, engine::schedule::EachTenant, jobs::OutgoingMail, pools::Pools};

/// What the jobs of one thread share.
#[derive(Clone)]
pub struct Environment {
    /// The database.
    pub db: Db,
    /// The owner of all schemas, to build.
    pub owner: Owner,
    /// The owner of all schemas, to purge.
    pub purger: Owner,
    /// The Redis of the usage stream.
    pub redis: RedisServer,
    /// Recognises the entries of the usage stream.
    pub usage_mac: Arc<dyn Mac>,
    /// Makes the keys that sign access tokens.
    pub signing_key_maker: SigningKeyMaker,
    /// Sends mails, where there is an SMTP server.
    pub mail: Option<OutgoingMail>,
    /// Where the heads of audit logs are written, if anywhere.
    pub anchoring: Option<Anchoring>,
    /// The pools in which people are made.
    pub pools: Pools,
    /// The metrics of the process.
    pub metrics: Metrics,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What the application's extensions are set to.
    pub extensions: Extensions,
    /// How many schemas are to be ready for tenants to come.
    pub schema_pool: u16,
    /// How many counts of tenants' transactions one transaction moves.
    pub(crate) counts: Arc<Bound>,
    /// The jobs that every tenant has once a period.
    pub(crate) each_tenant: Arc<[EachTenant]>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}
