//! What has outlived its use, and the jobs that every tenant gets again and again.

use serde::{Deserialize, Serialize};

use crate::{Job, TenantJob};

/// Delete expired rows of the platform's tables.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ApplyRetention {}

impl Job for ApplyRetention {
    const KIND: &'static str = "keep_house";
    const MAX_ATTEMPTS: i32 = 1;
}

/// Enqueue, for every tenant that has a schema, the jobs that each tenant has once a day or once an hour.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct EnqueuePerTenant {}

impl Job for EnqueuePerTenant {
    const KIND: &'static str = "ask_tenants";
    const MAX_ATTEMPTS: i32 = 1;
}

/// Delete the tenant's expired idempotency keys and sessions.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct PurgeExpired {}

impl Job for PurgeExpired {
    const KIND: &'static str = "purge_expired";
    const MAX_ATTEMPTS: i32 = 5;
}

impl TenantJob for PurgeExpired {}
