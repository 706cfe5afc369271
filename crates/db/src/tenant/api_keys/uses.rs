//! When keys were last used.

use bulkhead_domain::ApiKeyId;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use crate::engine::{error::DbResult, scope::TenantTx};

/// Notes uses of keys; of a key whose last noted use is less than a minute before, none. A key that another transaction holds at
/// this moment is left out and not waited for: its next use is noted.
pub async fn note_uses(tx: &mut TenantTx, uses: &[(ApiKeyId, DateTime<Utc>)]) -> DbResult<()> {
    let (ids, times): (Vec<Uuid>, Vec<DateTime<Utc>>) = uses.iter().map(|(id, at)| (id.uuid(), *at)).unzip();
    let query = diesel::sql_query(
        "WITH due AS ( \
             SELECT k.id, used.at FROM api_keys k JOIN unnest($1, $2) AS used (id, at) ON used.id = k.id \
             WHERE k.last_used_at IS NULL OR k.last_used_at <= used.at - interval '1 minute' \
             FOR NO KEY UPDATE OF k SKIP LOCKED) \
         UPDATE api_keys k SET last_used_at = due.at FROM due WHERE k.id = due.id",
    );
    let query = query.bind::<Array<SqlUuid>, _>(ids).bind::<Array<Timestamptz>, _>(times);
    tx.tx.execute(query).await?;
    Ok(())
}
