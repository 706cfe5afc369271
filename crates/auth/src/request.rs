//! What is known of a request that shows a password or a refresh token: what the audit log says of where it came from.

use bulkhead_db::tenant::audit::Entry;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// A request without a principal.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its id.
    pub id: &'a str,
    /// The client's address as the audit log keeps it.
    pub address: &'a str,
}

impl<'a> Request<'a> {
    /// What the audit log says of an action: `actor` is the person whose credential was shown.
    pub(crate) const fn entry(
        &self,
        at: DateTime<Utc>,
        actor: &'a str,
        action: &'static str,
        target: &'a str,
        changes: Value,
    ) -> Entry<'a> {
        Entry {
            at,
            actor,
            act: None,
            action,
            target,
            request_id: self.id,
            address: Some(self.address),
            changes,
        }
    }
}
