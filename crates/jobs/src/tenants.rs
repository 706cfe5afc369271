//! The life of a tenant, from its building to its purge.

use bulkhead_domain::TenantId;
use serde::{Deserialize, Serialize};

use crate::Job;

/// Build the tenant that `platform.tenants` and `platform.pending_owners` describe: its role, its schema, its first owner.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ProvisionTenant {
    /// The tenant to build.
    pub tenant: TenantId,
}

impl Job for ProvisionTenant {
    const KIND: &'static str = "provision_tenant";
}

/// Go on with the purge of a deleted tenant until nothing is left to remove.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PurgeTenant {
    /// The tenant to purge.
    pub tenant: TenantId,
}

impl Job for PurgeTenant {
    const KIND: &'static str = "purge_tenant";
}

/// Ask again for the building of tenants whose job has given up, and for the purge of those whose time is over.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct SweepTenants {}

impl Job for SweepTenants {
    const KIND: &'static str = "sweep_tenants";
    const MAX_ATTEMPTS: i32 = 1;
}
