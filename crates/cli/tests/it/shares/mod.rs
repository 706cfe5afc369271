//! What one tenant may have of a process: memory, connections, time. However much it asks for, its neighbours do not notice.

mod content;
mod crowds;
mod deadline;
mod farewell;
mod large;
mod wire;

use crate::support::Tenant;

/// A request as text, without what only a body needs.
fn request(tenant: &Tenant<'_>, line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n", tenant.owner.caller.authorization())
}
