//! Remove what has expired from one tenant's schema.

use serde::{Deserialize, Serialize};

use crate::{Job, TenantJob};

/// Delete the tenant's expired idempotency keys and sessions.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct PurgeExpired {}

impl Job for PurgeExpired {
    const KIND: &'static str = "purge_expired";
    const MAX_ATTEMPTS: i32 = 5;
}

impl TenantJob for PurgeExpired {}
