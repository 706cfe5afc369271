//! What nodes must stop trusting, or must read anew.

use bulkhead_domain::{OperatorId, SessionId, TenantId};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{error::DbResult, schema::platform::revocations, scope::PlatformTx};

/// One revocation as it is stored.
#[derive(Clone, Debug, QueryableByName)]
pub struct RevocationRow {
    /// Whose; `None` for operators.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub tenant_id: Option<Uuid>,
    /// `tenant`, `user`, `api_key`, `session` or `operator`.
    #[diesel(sql_type = Text)]
    pub subject: String,
    /// Which one.
    #[diesel(sql_type = SqlUuid)]
    pub subject_id: Uuid,
    /// When.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
}

/// Where a reader has got to: everything older than this transaction has been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Horizon(i64);

#[derive(QueryableByName)]
struct HorizonRow {
    #[diesel(sql_type = BigInt)]
    horizon: i64,
}

/// Everything revoked since `horizon`, some of it possibly seen before, and the next horizon. A reader that has seen
/// nothing yet asks for what is younger than `since`.
pub async fn read(
    tx: &mut PlatformTx,
    horizon: Option<Horizon>,
    since: DateTime<Utc>,
) -> DbResult<(Vec<RevocationRow>, Horizon)> {
    // One snapshot for both statements (platform reads are REPEATABLE READ): the horizon is exactly what the rows miss.
    let next: HorizonRow = tx
        .tx
        .one(diesel::sql_query("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon"))
        .await?;
    let rows = match horizon {
        Some(Horizon(xid)) => {
            let query = diesel::sql_query(
                "SELECT tenant_id, subject, subject_id, at FROM revocations WHERE xid >= $1",
            );
            tx.tx.load(query.bind::<BigInt, _>(xid)).await?
        }
        None => {
            let query = diesel::sql_query(
                "SELECT tenant_id, subject, subject_id, at FROM revocations WHERE at >= $1",
            );
            tx.tx.load(query.bind::<Timestamptz, _>(since)).await?
        }
    };
    Ok((rows, Horizon(next.horizon)))
}

/// Makes every node forget what it remembers of a tenant. Revokes nothing: whether its credentials are refused is for
/// the tenant's state to say.
pub async fn announce_tenant_change(tx: &mut PlatformTx, tenant: TenantId) -> DbResult<()> {
    insert(tx, Some(tenant.uuid()), "tenant", tenant.uuid()).await
}

/// Every token of an operator.
pub async fn revoke_operator(tx: &mut PlatformTx, operator: OperatorId) -> DbResult<()> {
    insert(tx, None, "operator", operator.uuid()).await
}

/// Every token of one session of an operator.
pub async fn revoke_operator_session(tx: &mut PlatformTx, session: SessionId) -> DbResult<()> {
    insert(tx, None, "session", session.uuid()).await
}

async fn insert(tx: &mut PlatformTx, tenant: Option<Uuid>, subject: &str, id: Uuid) -> DbResult<()> {
    let row =
        (revocations::tenant_id.eq(tenant), revocations::subject.eq(subject), revocations::subject_id.eq(id));
    tx.tx.execute(diesel::insert_into(revocations::table).values(row)).await?;
    Ok(())
}
