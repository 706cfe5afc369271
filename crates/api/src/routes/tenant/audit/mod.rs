//! The audit log: who did what, to be read and to be taken away.

mod export;
mod list;
pub(crate) mod slice;

use bulkhead_db::tenant::audit::AuditEntry;
use bulkhead_domain::{AuditEntryId, permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::operation::{Access, operations};

pub(crate) use list::AuditQuery;

operations! {
    list::list_audit => Access::Tenant(permission::READ_AUDIT), [], Page;
    export::export_audit => Access::Tenant(permission::READ_AUDIT), [], Page;
}

/// An entry of an audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntryResponse {
    /// Its id.
    #[schema(value_type = String, example = "aud_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: AuditEntryId,
    /// When it happened.
    at: DateTime<Utc>,
    /// Who did it: the id of a person, an API key or an operator; `system`; `anonymous` where nobody has proven who they are; or the
    /// command that was run.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    actor: String,
    /// The operator who acted as the actor; `null` when the actor acted.
    act: Option<String>,
    /// What was done: an operation of this document, or a step of a log-in or of a job.
    #[schema(example = "create_user")]
    action: String,
    /// The id of what it was done to.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1d")]
    target: String,
    /// The id of the request, or of the job.
    #[schema(example = "req_0193ab8f3c5e7a1db3f40c2d9e8a7b61")]
    request_id: String,
    /// The client's address; `null` where there is no client, and where it was erased.
    #[schema(example = "192.0.2.1")]
    address: Option<String>,
    /// What changed; empty where it was erased.
    #[schema(value_type = Object, example = json!({ "role": { "from": "developer", "to": "admin" } }))]
    changes: Value,
}

impl From<AuditEntry> for AuditEntryResponse {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { id, at, actor, act, action, target, request_id, address, changes } = entry;
        Self { id, at, actor, act, action, target, request_id, address, changes }
    }
}
