//! The receipt of a purge.

use std::collections::BTreeMap;

use bulkhead_db::{fleet::purge::Receipt, platform::tenants::Purge};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// What the purge of a tenant has removed so far, and what it has kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PurgeReceipt {
    /// When the purge began. From then on the tenant could not be restored.
    begun_at: DateTime<Utc>,
    /// When it was finished; `null` while it goes on.
    finished_at: Option<DateTime<Utc>>,
    /// Rows that were removed of each table of the tenant's schema that had at most 100,000.
    #[schema(example = json!({ "users": 12, "api_keys": 3 }))]
    rows: BTreeMap<String, i64>,
    /// The other tables, which had more rows or could not be counted in time: about how many there were, or `null` when that is
    /// not known.
    #[schema(example = json!({ "resources": 1_200_000 }))]
    rows_estimated: BTreeMap<String, Option<i64>>,
    /// The size that the schema had on the disk, in bytes.
    #[schema(example = 1_048_576)]
    bytes: i64,
    /// Whether there was a schema.
    #[schema(example = true)]
    schema: bool,
    /// Whether there was a role in the database.
    #[schema(example = true)]
    role: bool,
    /// Whether a first owner was still waiting for the schema.
    #[schema(example = false)]
    pending_owner: bool,
    /// Background jobs that were removed.
    #[schema(example = 31)]
    jobs: i64,
    /// Revocations that were removed.
    #[schema(example = 4)]
    revocations: i64,
    /// Scaling policies, states and decisions that were removed.
    #[schema(example = 720)]
    scaling: i64,
    /// Kept answers to operators that mentioned the tenant, and whose content was removed.
    #[schema(example = 1)]
    answers: i64,
    /// Entries of the tenant's audit log that are kept: who did what when, without what was changed.
    #[schema(example = 2048)]
    audit_kept: i64,
}

impl From<Purge> for PurgeReceipt {
    fn from(purge: Purge) -> Self {
        let Purge { begun_at, finished_at, receipt, slug: _ } = purge;
        let Receipt {
            rows,
            rows_estimated,
            bytes,
            schema,
            role,
            pending_owner,
            jobs,
            revocations,
            scaling,
            answers,
            audit_kept,
        } = receipt;
        Self {
            begun_at,
            finished_at,
            rows,
            rows_estimated,
            bytes,
            schema,
            role,
            pending_owner,
            jobs,
            revocations,
            scaling,
            answers,
            audit_kept,
        }
    }
}
