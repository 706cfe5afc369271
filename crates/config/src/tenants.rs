//! Tenants.

use std::time::Duration;

use clap::Args;

use crate::value::{days, name, number};

/// What becomes of tenants.
#[derive(Clone, Debug, Args)]
pub struct Tenants {
    /// How long a deleted tenant is kept, so that it can be restored, in days. With 0 it is removed after a minute, when
    /// no node serves it any more. A tenant that is deleted already keeps the time it was given.
    #[arg(env = "BULKHEAD_TENANT_GRACE_DAYS", default_value = "30", value_parser = days(0..=3650))]
    pub tenant_grace: Duration,
    /// Whether anybody may sign a tenant up (`POST /v1/tenants`): `true` or `false`. Where mails leave, only with an address that they
    /// have shown to be theirs.
    #[arg(env = "BULKHEAD_SELF_SERVICE_SIGNUP", action = clap::ArgAction::Set, default_value = "false")]
    pub self_service_signup: bool,
    /// The plan of a tenant that signs itself up.
    #[arg(env = "BULKHEAD_SIGNUP_PLAN", default_value = "free", value_parser = name)]
    pub signup_plan: String,
    /// Tenants that may sign themselves up in an hour, all nodes together.
    #[arg(env = "BULKHEAD_SIGNUPS_PER_HOUR", default_value = "100", value_parser = number(1..=100_000_u32))]
    pub signups_per_hour: u32,
}
