//! Deleting what has outlived its use, a little at a time.
//!
//! Refuses to delete what bills are made of: usage by hours and days, and what was counted and is not in them yet
//! (`usage_counts`, which `platform::usage::fold_counts` empties).

use diesel::sql_types::BigInt;

use crate::engine::{error::DbResult, scope::PlatformTx};

macro_rules! delete_from {
    ($table:literal, $condition:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE ctid = ANY (ARRAY(SELECT ctid FROM ",
            $table,
            " WHERE ",
            $condition,
            " LIMIT $1 FOR UPDATE SKIP LOCKED))"
        )
    };
}

/// Something that is kept for a while and then deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Jobs that ended over a week ago.
    Jobs,
    /// Requests by minute, after 35 days: a month can be looked at in full until the next one is billed. Days and hours
    /// are what bills are made of, and stay.
    RequestMinutes,
    /// Which batches were applied, 35 days after the last one of a recorder. Entries of the stream must not get this old:
    /// `bulkhead-usage` refuses them well before.
    UsageBatches,
    /// Entries of the usage stream that were set aside and had not our tag, after 31 days. Those that had it stay: an
    /// operator has to decide about them.
    ForeignUsage,
    /// Scaling decisions, after 30 days.
    ScalingDecisions,
    /// Revocations, after two hours: no token lives for more than one.
    Revocations,
    /// Processes that were not heard of for a day.
    Nodes,
    /// Operators' sessions, when they have expired, or were ended two hours ago.
    OperatorSessions,
    /// Operators' idempotency keys, after 24 hours.
    IdempotencyKeys,
    /// Tenants to come whose first owner has not confirmed their address in time.
    SignUps,
}

impl Expired {
    /// Everything there is to delete.
    pub const ALL: [Self; 10] = [
        Self::Jobs,
        Self::RequestMinutes,
        Self::UsageBatches,
        Self::ForeignUsage,
        Self::ScalingDecisions,
        Self::Revocations,
        Self::Nodes,
        Self::OperatorSessions,
        Self::IdempotencyKeys,
        Self::SignUps,
    ];

    /// The table.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::RequestMinutes => "request_minutes",
            Self::UsageBatches => "usage_batches",
            Self::ForeignUsage => "usage_batches_rejected",
            Self::ScalingDecisions => "scaling_decisions",
            Self::Revocations => "revocations",
            Self::Nodes => "nodes",
            Self::OperatorSessions => "operator_sessions",
            Self::IdempotencyKeys => "idempotency_keys",
            Self::SignUps => "sign_ups",
        }
    }

    /// Each finds its rows through an index, save in the small tables of nodes and operators' sessions.
    const fn statement(self) -> &'static str {
        match self {
            Self::Jobs => delete_from!("jobs", "finished_at < now() - interval '7 days'"),
            Self::RequestMinutes => delete_from!("request_minutes", "minute < now() - interval '35 days'"),
            Self::UsageBatches => delete_from!("usage_batches", "applied_at < now() - interval '35 days'"),
            Self::ForeignUsage => {
                delete_from!("usage_batches_rejected", "NOT authentic AND at < now() - interval '31 days'")
            }
            Self::ScalingDecisions => {
                delete_from!("scaling_decisions", "minute < now() - interval '30 days'")
            }
            Self::Revocations => delete_from!("revocations", "at < now() - interval '2 hours'"),
            Self::Nodes => delete_from!("nodes", "seen_at < now() - interval '1 day'"),
            Self::OperatorSessions => {
                delete_from!(
                    "operator_sessions",
                    "expires_at < now() OR revoked_at < now() - interval '2 hours'"
                )
            }
            Self::IdempotencyKeys => {
                delete_from!("idempotency_keys", "created_at < now() - interval '24 hours'")
            }
            Self::SignUps => delete_from!("sign_ups", "expires_at <= now()"),
        }
    }
}

/// Deletes at most `limit` rows, passing over those that are locked; how many it were. Call it again until it is fewer.
pub async fn delete(tx: &mut PlatformTx, what: Expired, limit: u16) -> DbResult<usize> {
    tx.tx.execute(diesel::sql_query(what.statement()).bind::<BigInt, _>(i64::from(limit))).await
}
