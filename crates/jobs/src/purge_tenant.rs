//! Remove a deleted tenant for good.

use bulkhead_domain::TenantId;
use serde::{Deserialize, Serialize};

use crate::Job;

/// Go on with the purge of the tenant until nothing is left to remove.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PurgeTenant {
    /// The tenant to purge.
    pub tenant: TenantId,
}

impl Job for PurgeTenant {
    const KIND: &'static str = "purge_tenant";
    const MAX_ATTEMPTS: i32 = 10;
}
