//! Build a tenant's role, schema and first owner, and open it for service.

use bulkhead_domain::TenantId;
use serde::{Deserialize, Serialize};

use crate::Job;

/// Build the tenant that `platform.tenants` and `platform.pending_owners` describe.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ProvisionTenant {
    /// The tenant to build.
    pub tenant: TenantId,
}

impl Job for ProvisionTenant {
    const KIND: &'static str = "provision_tenant";
    const MAX_ATTEMPTS: i32 = 10;
}
