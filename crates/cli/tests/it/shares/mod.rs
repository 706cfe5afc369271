//! What one tenant may have of a process: memory, connections, time. However much it asks for, its neighbours do not notice.

mod content;
mod crowds;
mod deadline;
mod farewell;
mod large;
mod settings;
mod slow;
mod wire;

use crate::support::{System, Tenant};

/// Requests that are admitted: every one is counted before it waits for anything.
pub(crate) const ADMITTED: &str =
    r#"bulkhead_limiter_decisions_total{kind="concurrency",outcome="admitted",source="local"}"#;

/// How many statements that name this table wait for a lock.
fn waiting(system: &System, table: &str) -> usize {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND query LIKE '%{table}%'"
    );
    system.sql(&sql).parse().unwrap()
}

/// A request as text, without what only a body needs.
fn request(tenant: &Tenant<'_>, line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n", tenant.owner.caller.authorization())
}
