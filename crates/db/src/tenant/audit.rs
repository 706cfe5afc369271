//! Who did what in the tenant. Rows are only ever added: the tenant's role cannot change or delete them.

use bulkhead_domain::{AuditEntryId, id};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit::{BEGINNING, ChainedEntry, Personal, search_key},
    engine::{
        error::DbResult,
        page::{Page, PageRequest},
        scope::TenantTx,
        transaction::Tx,
    },
    schema::tenant::audit_log,
};

/// One entry of an audit log.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The actor: the subject of the credential, `system`, or the command that was run.
    pub actor: &'a str,
    /// Who acts through the actor: the operator who impersonates a person. `None` when the actor acts.
    pub act: Option<&'a str>,
    /// What was done: the operation's id in the API, or the job's kind.
    pub action: &'static str,
    /// The id of what it was done to.
    pub target: &'a str,
    /// The id of the request, or of the job.
    pub request_id: &'a str,
    /// The client's address, as its outermost trusted proxy has seen it; `None` for what no client has asked for.
    pub address: Option<&'a str>,
    /// What changed. Never a secret.
    pub changes: Value,
}

impl Entry<'_> {
    /// A new id that sorts by the entry's time.
    pub(crate) fn mint_id(&self) -> Uuid {
        id::mint(self.at)
    }
}

/// Adds an entry.
pub async fn record(tx: &mut TenantTx, entry: &Entry<'_>) -> DbResult<()> {
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
    tx.tx.execute(diesel::insert_into(audit_log::table).values(row)).await?;
    Ok(())
}

/// An entry that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditEntryId,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: String,
    /// Who acted through the actor.
    pub act: Option<String>,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// The id of the request.
    pub request_id: String,
    /// From where.
    pub address: Option<String>,
    /// What changed.
    pub changes: Value,
}

/// Which entries are wanted; `None` for all.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditFilter<'a> {
    /// By whom.
    pub actor: Option<&'a str>,
    /// What was done.
    pub action: Option<&'a str>,
    /// To what.
    pub target: Option<&'a str>,
    /// In which request.
    pub request_id: Option<&'a str>,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
}

/// A page of the log, the newest entry first.
pub async fn list(
    tx: &mut TenantTx,
    filter: &AuditFilter<'_>,
    page: PageRequest,
) -> DbResult<Page<AuditEntry>> {
    list_in(&mut tx.tx, OWN, filter, page).await
}

/// How many entries that may not be linked yet are looked through: more than come while the job that links them is on its way. The
/// order and the bound make PostgreSQL read them by their transactions; without, it goes through the whole log.
const LATE: u32 = 10_000;

/// One statement. The ids are made of the entries' times, so a stretch of time is one of ids. By who, what and in which request,
/// entries are found in their links, in the order of the page; those that may not be linked yet are looked through.
pub(crate) async fn list_in(
    tx: &mut Tx,
    Places { log, links, chain }: Places,
    filter: &AuditFilter<'_>,
    page: PageRequest,
) -> DbResult<Page<AuditEntry>> {
    const COLUMNS: &str =
        "e.id, e.at, e.actor, e.act, e.action, e.target, e.request_id, e.address, e.changes";
    const FITS: &str = "e.id < $1 AND e.id >= $2 AND e.id <= $3 AND ($4 IS NULL OR e.at >= $4) AND ($5 IS NULL OR e.at < $5) \
         AND ($6 IS NULL OR e.actor = $6) AND ($7 IS NULL OR e.action = $7) \
         AND ($8 IS NULL OR e.target = $8) AND ($9 IS NULL OR e.request_id = $9)";
    // The one that most often leads to few entries first.
    let keys = [
        ("request_key", filter.request_id),
        ("target_key", filter.target),
        ("actor_key", filter.actor),
        ("action_key", filter.action),
    ];
    let key = keys.into_iter().find_map(|(column, text)| Some((column, search_key(text?))));
    let sql = match key {
        None => {
            format!("SELECT {COLUMNS} FROM {log} e WHERE {FITS} AND $10 IS NULL ORDER BY e.id DESC LIMIT $11")
        }
        Some((column, _)) => format!(
            "WITH found AS ( \
                 SELECT {COLUMNS} FROM {links} l JOIN {log} e ON e.id = l.entry_id \
                 WHERE l.{column} = $10 AND l.entry_id < $1 AND l.entry_id >= $2 AND l.entry_id <= $3 AND {FITS} \
                 ORDER BY l.entry_id DESC LIMIT $11), \
             late AS MATERIALIZED ( \
                 SELECT * FROM {log} e WHERE e.xid >= coalesce((SELECT pg_snapshot_xmin(c.seen) FROM {chain} c), '0') \
                 ORDER BY e.xid DESC LIMIT {LATE}), \
             fresh AS (SELECT {COLUMNS} FROM late e WHERE {FITS} ORDER BY e.id DESC LIMIT $11) \
             SELECT * FROM found UNION SELECT * FROM fresh ORDER BY id DESC LIMIT $11"
        ),
    };
    let text = |text: Option<&str>| text.map(ToOwned::to_owned);
    let query = diesel::sql_query(sql)
        .bind::<SqlUuid, _>(page.after.unwrap_or(Uuid::max()))
        .bind::<SqlUuid, _>(filter.from.map_or(Uuid::nil(), id::first_of))
        .bind::<SqlUuid, _>(filter.to.map_or(Uuid::max(), id::last_of))
        .bind::<Nullable<Timestamptz>, _>(filter.from)
        .bind::<Nullable<Timestamptz>, _>(filter.to)
        .bind::<Nullable<Text>, _>(text(filter.actor))
        .bind::<Nullable<Text>, _>(text(filter.action))
        .bind::<Nullable<Text>, _>(text(filter.target))
        .bind::<Nullable<Text>, _>(text(filter.request_id))
        .bind::<Nullable<BigInt>, _>(key.map(|(_, key)| key))
        .bind::<BigInt, _>(page.probe());
    let rows: Vec<ListedRow> = tx.load(query).await?;
    Ok(Page::cut(rows.into_iter().map(ListedRow::into_entry).collect(), page))
}

#[derive(QueryableByName)]
struct ListedRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    actor: String,
    #[diesel(sql_type = Nullable<Text>)]
    act: Option<String>,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Text)]
    target: String,
    #[diesel(sql_type = Text)]
    request_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    address: Option<String>,
    #[diesel(sql_type = Jsonb)]
    changes: Value,
}

impl ListedRow {
    fn into_entry(self) -> AuditEntry {
        AuditEntry {
            id: AuditEntryId::from_uuid(self.id),
            at: self.at,
            actor: self.actor,
            act: self.act,
            action: self.action,
            target: self.target,
            request_id: self.request_id,
            address: self.address,
            changes: self.changes,
        }
    }
}

/// A piece of a chain, to be exported: the numbers of its first and its last entry, and the hash before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The numbers of the first and the last entry; `None` when it is empty.
    pub numbers: Option<(i64, i64)>,
    /// The hash of the entry before.
    pub previous: Vec<u8>,
}

/// An entry with its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its number.
    pub sequence: i64,
    /// The entry.
    pub entry: ChainedEntry,
    /// Its hash.
    pub hash: Vec<u8>,
}

/// Where the links of a log are read. Statements have these in their text, because names cannot be bound: each is a constant of the
/// program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) log: &'static str,
    pub(crate) links: &'static str,
    pub(crate) chain: &'static str,
}

const OWN: Places = Places { log: "audit_log", links: "gate.audit_links", chain: "gate.audit_chain" };

/// The smallest piece of the chain that has every entry of a time in it which is chained.
pub async fn slice(tx: &mut TenantTx, from: DateTime<Utc>, to: DateTime<Utc>) -> DbResult<Slice> {
    slice_in(&mut tx.tx, OWN, from, to).await
}

/// Entries of a chain behind one, up to another, in the order of the chain.
pub async fn placed(tx: &mut TenantTx, after: i64, last: i64, limit: i64) -> DbResult<Vec<Placed>> {
    placed_in(&mut tx.tx, OWN, after, last, limit).await
}

pub(crate) async fn slice_in(
    tx: &mut Tx,
    Places { log, links, .. }: Places,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> DbResult<Slice> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<BigInt>)]
        first: Option<i64>,
        #[diesel(sql_type = Nullable<BigInt>)]
        last: Option<i64>,
    }
    #[derive(QueryableByName)]
    struct Before {
        #[diesel(sql_type = Binary)]
        hash: Vec<u8>,
    }
    let query = diesel::sql_query(format!(
        "SELECT min(l.sequence) AS first, max(l.sequence) AS last FROM {log} e \
         JOIN {links} l ON l.entry_id = e.id WHERE e.id >= $1 AND e.id <= $2 AND e.at >= $3 AND e.at < $4"
    ))
    .bind::<SqlUuid, _>(id::first_of(from))
    .bind::<SqlUuid, _>(id::last_of(to))
    .bind::<Timestamptz, _>(from)
    .bind::<Timestamptz, _>(to);
    let Row { first, last } = tx.one(query).await?;
    let Some(numbers) = first.zip(last) else {
        return Ok(Slice { numbers: None, previous: BEGINNING.to_vec() });
    };
    let query = diesel::sql_query(format!("SELECT l.hash FROM {links} l WHERE l.sequence = $1"));
    let before: Option<Before> = tx.first(query.bind::<BigInt, _>(numbers.0 - 1)).await?;
    Ok(Slice { numbers: Some(numbers), previous: before.map_or_else(|| BEGINNING.to_vec(), |row| row.hash) })
}

pub(crate) async fn placed_in(
    tx: &mut Tx,
    Places { log, links, .. }: Places,
    after: i64,
    last: i64,
    limit: i64,
) -> DbResult<Vec<Placed>> {
    let query = diesel::sql_query(format!(
        "SELECT l.sequence, l.hash, l.address_salt, l.address_commitment, l.changes_salt, l.changes_commitment, \
             e.id, e.at, e.actor, e.act, e.action, e.target, e.request_id, e.address, e.changes::text AS changes \
         FROM {links} l JOIN {log} e ON e.id = l.entry_id \
         WHERE l.sequence > $1 AND l.sequence <= $2 ORDER BY l.sequence LIMIT $3"
    ));
    let query = query.bind::<BigInt, _>(after).bind::<BigInt, _>(last).bind::<BigInt, _>(limit);
    let rows: Vec<PlacedRow> = tx.load(query).await?;
    Ok(rows.into_iter().map(PlacedRow::into_placed).collect())
}

#[derive(QueryableByName)]
struct PlacedRow {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
    #[diesel(sql_type = Nullable<Binary>)]
    address_salt: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    address_commitment: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    changes_salt: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    changes_commitment: Option<Vec<u8>>,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    actor: String,
    #[diesel(sql_type = Nullable<Text>)]
    act: Option<String>,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Text)]
    target: String,
    #[diesel(sql_type = Text)]
    request_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    address: Option<String>,
    #[diesel(sql_type = Text)]
    changes: String,
}

impl PlacedRow {
    fn into_placed(self) -> Placed {
        let address =
            Personal { value: self.address, salt: self.address_salt, commitment: self.address_commitment };
        let changes = Personal::kept(self.changes, self.changes_salt, self.changes_commitment);
        Placed {
            sequence: self.sequence,
            hash: self.hash,
            entry: ChainedEntry {
                id: AuditEntryId::from_uuid(self.id),
                at: self.at,
                actor: self.actor,
                act: self.act,
                action: self.action,
                target: self.target,
                request_id: self.request_id,
                address,
                changes,
            },
        }
    }
}
