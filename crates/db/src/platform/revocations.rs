//! What nodes must stop trusting, or must read anew.
//!
//! Owns the order in which revocations are read: by what a transaction could see, so that a slow commit is never passed
//! over, and from the beginning when another server answers than the one that was read before. Refuses to return more
//! than a node can keep: the oldest are left out, and the reader is told from when on it knows everything.

use bulkhead_domain::{OperatorId, SessionId, TenantId};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    engine::{error::DbResult, scope::PlatformTx},
    schema::platform::revocations,
};

/// One revocation as it is stored.
#[derive(Clone, Debug, QueryableByName)]
pub struct RevocationRow {
    /// Whose; `None` for operators.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub tenant_id: Option<Uuid>,
    /// `tenant`, `user`, `api_key`, `session`, `operator`, or `everything` of a tenant or of the operators.
    #[diesel(sql_type = Text)]
    pub subject: String,
    /// Which one.
    #[diesel(sql_type = SqlUuid)]
    pub subject_id: Uuid,
    /// When, by the database's clock.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
}

/// Where a reader has got to: which server it has read, and what it could see there.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Horizon {
    /// When the server was started. One that replaces another (a stand-by that was promoted, a copy, a restored backup)
    /// was started at another moment, and may count its transactions otherwise. Every role may read it on every managed
    /// PostgreSQL. The system identifier would not do: a copy shares it with its original, and not every managed
    /// PostgreSQL lets every role read it.
    #[diesel(sql_type = Timestamptz)]
    server: DateTime<Utc>,
    /// The transactions that the reader saw, as PostgreSQL writes a snapshot.
    #[diesel(sql_type = Text)]
    snapshot: String,
    /// The moment of the read, by the database's clock.
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

/// What a read has found.
#[derive(Clone, Debug)]
pub struct Read {
    /// The revocations, in no order.
    pub rows: Vec<RevocationRow>,
    /// Whether these are all that can still matter, or only those since the read before.
    pub is_whole: bool,
    /// When there were too many: those of this moment and before were left out.
    pub left_out: Option<DateTime<Utc>>,
    /// When it was read, by the database's clock.
    pub now: DateTime<Utc>,
    /// From where to read next.
    pub next: Horizon,
}

/// The revocations that a snapshot did not see. The first condition finds the few candidates by an index.
const NEWER: &str = "SELECT tenant_id, subject, subject_id, at FROM revocations \
     WHERE xid >= pg_snapshot_xmin($1::pg_snapshot)::text::bigint \
     AND NOT pg_visible_in_snapshot(xid::text::xid8, $1::pg_snapshot) LIMIT $2";

/// Everything that can still matter, the newest first. Changes of a tenant's state are left out: a reader that is given
/// everything has to forget all tenants anyway.
const ALL: &str = "SELECT tenant_id, subject, subject_id, at FROM revocations \
     WHERE at >= now() - make_interval(secs => $1) AND subject <> 'tenant' ORDER BY at DESC LIMIT $2";

/// Everything that was revoked since the read that has ended at `horizon`; without one, or when another server answers,
/// everything younger than `since`. At most `limit` rows: when more were revoked since, the newest of all that matter.
pub async fn read(
    tx: &mut PlatformTx,
    horizon: Option<&Horizon>,
    since: TimeDelta,
    limit: u32,
) -> DbResult<Read> {
    // One snapshot for all statements (platform reads are REPEATABLE READ), so nothing falls between two reads.
    let next: Horizon = tx
        .tx
        .one(diesel::sql_query(
            "SELECT pg_postmaster_start_time() AS server, pg_current_snapshot()::text AS snapshot, \
             clock_timestamp() AS now",
        ))
        .await?;
    let (limit, kept) = (i64::from(limit), usize::try_from(limit).unwrap_or(usize::MAX));
    if let Some(before) = horizon.filter(|before| before.server == next.server) {
        let query = diesel::sql_query(NEWER).bind::<Text, _>(&before.snapshot).bind::<BigInt, _>(limit + 1);
        let rows: Vec<RevocationRow> = tx.tx.load(query).await?;
        if rows.len() <= kept {
            return Ok(Read { rows, is_whole: false, left_out: None, now: next.now, next });
        }
    }
    let query = diesel::sql_query(ALL).bind::<Double, _>(since.as_seconds_f64()).bind::<BigInt, _>(limit + 1);
    let mut rows: Vec<RevocationRow> = tx.tx.load(query).await?;
    let left_out = rows.get(kept).map(|row| row.at);
    rows.truncate(kept);
    Ok(Read { rows, is_whole: true, left_out, now: next.now, next })
}

/// Makes every node forget what it remembers of a tenant. Revokes nothing: whether its credentials are refused is for
/// the tenant's state to say.
pub async fn announce_tenant_change(tx: &mut PlatformTx, tenant: TenantId) -> DbResult<()> {
    let row = (
        revocations::tenant_id.eq(tenant.uuid()),
        revocations::subject.eq("tenant"),
        revocations::subject_id.eq(tenant.uuid()),
    );
    tx.tx.execute(diesel::insert_into(revocations::table).values(row)).await?;
    Ok(())
}

/// Every token of one session of an operator, whose row this transaction has changed.
pub async fn revoke_operator_session(tx: &mut PlatformTx, session: SessionId) -> DbResult<()> {
    revoke(tx, "session", session.uuid()).await
}

/// Every token of an operator, whose row this transaction has locked, changed or deleted: those with which they act as a tenant's
/// people, too.
pub async fn revoke_operator(tx: &mut PlatformTx, operator: OperatorId) -> DbResult<()> {
    revoke(tx, "operator", operator.uuid()).await
}

async fn revoke(tx: &mut PlatformTx, kind: &str, id: Uuid) -> DbResult<()> {
    let call = diesel::sql_query("SELECT revoke(NULL, $1, $2)").bind::<Text, _>(kind).bind::<SqlUuid, _>(id);
    tx.tx.execute(call).await?;
    Ok(())
}
