//! Audit logs.

use bulkhead_domain::UserId;
use serde::{Deserialize, Serialize};

use crate::Job;

/// Chain what the audit logs say that is not chained yet.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ChainAudit {}

impl Job for ChainAudit {
    const KIND: &'static str = "chain_audit";
    const MAX_ATTEMPTS: i32 = 1;
}

/// Write the heads of all chains to a place outside of the database, once a day.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct AnchorAudit {}

impl Job for AnchorAudit {
    const KIND: &'static str = "anchor_audit";
    const MAX_ATTEMPTS: i32 = 1;
}

/// Erase a person from the audit log of the tenant whose job it is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EraseUser {
    /// The person.
    pub user: UserId,
}

impl Job for EraseUser {
    const KIND: &'static str = "erase_user";
}

impl crate::TenantJob for EraseUser {}
