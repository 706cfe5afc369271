//! What operators and the machinery did. Rows are only ever added.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    audit::{Chain, anchor::Head},
    engine::{
        error::DbResult,
        page::{Page, PageRequest},
        scope::{OwnerTx, PlatformTx},
        transaction::Tx,
    },
    schema::platform::audit_log,
    tenant::audit::{AuditEntry, AuditFilter, Entry, Placed, Places, Slice, list_in, placed_in, slice_in},
};

/// Adds an entry.
pub async fn record(tx: &mut PlatformTx, entry: &Entry<'_>) -> DbResult<()> {
    record_in(&mut tx.tx, entry).await
}

/// [`record`] for what needs the owner of all schemas.
pub(crate) async fn record_as_owner(tx: &mut OwnerTx, entry: &Entry<'_>) -> DbResult<()> {
    record_in(&mut tx.tx, entry).await
}

async fn record_in(tx: &mut Tx, entry: &Entry<'_>) -> DbResult<()> {
    let row = (
        audit_log::id.eq(entry.mint_id()),
        audit_log::at.eq(entry.at),
        audit_log::actor.eq(entry.actor),
        audit_log::action.eq(entry.action),
        audit_log::target.eq(entry.target),
        audit_log::request_id.eq(entry.request_id),
        audit_log::changes.eq(&entry.changes),
        audit_log::act.eq(entry.act),
        audit_log::address.eq(entry.address),
    );
    tx.execute(diesel::insert_into(audit_log::table).values(row)).await?;
    Ok(())
}

/// A page of the log, the newest entry first.
pub async fn list(
    tx: &mut PlatformTx,
    filter: &AuditFilter<'_>,
    page: PageRequest,
) -> DbResult<Page<AuditEntry>> {
    list_in(&mut tx.tx, OWN, filter, page).await
}

const OWN: Places = Places {
    log: "audit_log",
    links: "(SELECT * FROM audit_links WHERE chain = '00000000-0000-0000-0000-000000000000')",
    chain: "(SELECT seen FROM audit_chains WHERE chain = '00000000-0000-0000-0000-000000000000')",
};

/// The smallest piece of the chain that has every entry of a time in it which is chained.
pub async fn slice(tx: &mut PlatformTx, from: DateTime<Utc>, to: DateTime<Utc>) -> DbResult<Slice> {
    slice_in(&mut tx.tx, OWN, from, to).await
}

/// Entries of a chain behind one, up to another, in the order of the chain.
pub async fn placed(tx: &mut PlatformTx, after: i64, last: i64, limit: i64) -> DbResult<Vec<Placed>> {
    placed_in(&mut tx.tx, OWN, after, last, limit).await
}

/// The heads of all chains.
pub async fn heads(tx: &mut PlatformTx) -> DbResult<Vec<Head>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        chain: Uuid,
        #[diesel(sql_type = BigInt)]
        sequence: i64,
        #[diesel(sql_type = Binary)]
        hash: Vec<u8>,
    }
    let query = "SELECT chain, sequence, hash FROM audit_chains WHERE sequence > 0 ORDER BY chain";
    let rows: Vec<Row> = tx.tx.load(diesel::sql_query(query)).await?;
    Ok(rows.iter().map(|row| Head::of(Chain::from_uuid(row.chain), row.sequence, &row.hash)).collect())
}

/// Whether the heads were written elsewhere on the day, of UTC, in which `now` lies.
pub async fn is_anchored(tx: &mut PlatformTx, now: DateTime<Utc>) -> DbResult<bool> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Bool)]
        found: bool,
    }
    let query = diesel::sql_query(
        "SELECT EXISTS (SELECT FROM audit_anchors WHERE at >= date_trunc('day', $1, 'UTC')) AS found",
    );
    let row: Found = tx.tx.one(query.bind::<Timestamptz, _>(now)).await?;
    Ok(row.found)
}

/// Remembers that the heads of so many chains were written to a place.
pub async fn anchored(tx: &mut PlatformTx, at: DateTime<Utc>, place: &str, chains: usize) -> DbResult<()> {
    let insert = diesel::sql_query("INSERT INTO audit_anchors (at, place, chains) VALUES ($1, $2, $3)");
    let insert = insert
        .bind::<Timestamptz, _>(at)
        .bind::<Text, _>(place.to_owned())
        .bind::<BigInt, _>(i64::try_from(chains).unwrap_or(i64::MAX));
    tx.tx.execute(insert).await?;
    Ok(())
}
