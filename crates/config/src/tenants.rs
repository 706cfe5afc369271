//! Tenants.

use std::time::Duration;

use clap::Args;

use crate::value::days;

/// What becomes of tenants.
#[derive(Clone, Debug, Args)]
pub struct Tenants {
    /// How long a deleted tenant is kept, so that it can be restored, in days. With 0 it is removed after a minute, when
    /// no node serves it any more. A tenant that is deleted already keeps the time it was given.
    #[arg(env = "BULKHEAD_TENANT_GRACE_DAYS", default_value = "30", value_parser = days(0..=3650))]
    pub tenant_grace: Duration,
}
