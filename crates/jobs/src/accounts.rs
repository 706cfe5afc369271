//! Accounts at identity providers.

use bulkhead_domain::UserId;
use serde::{Deserialize, Serialize};

use crate::{Job, TenantJob};

/// Bring a person's account at an identity provider to where it is to be: there and linked as long as the person is here, gone
/// afterwards if we have made it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SettleAccount {
    /// The person, who may be gone.
    pub user: UserId,
}

impl Job for SettleAccount {
    const KIND: &'static str = "settle_account";
    const MAX_ATTEMPTS: i32 = 25;
}

impl TenantJob for SettleAccount {}
