//! Chains what the audit logs say, in the order of commits.
//!
//! Owns the steps of the job that does it. A tenant's transaction adds its entry and knows nothing of the chain, so that writes
//! of a tenant do not wait for each other; its role can neither read nor write `audit_chains` and `audit_links`. Each step is a
//! transaction that holds the chain's row.
//!
//! Ids and times are made before a transaction commits, so they do not tell which entries are new. Each row carries the
//! transaction that has written it, by a default of the column that the tenant's role may not fill in, and a chain
//! remembers a snapshot: new is what that one does not see and the next one does. Rows between two snapshots are chained in the
//! order of their transactions. What one step has not reached is read by the next one against the same snapshot.
//!
//! A server that was restored from a dump counts its transactions anew; it is known by its system identifier. Then, as for a log
//! that was never chained, all of it is read by id, what is not in the chain is added, and transactions of the other server are
//! forgotten. A physical copy has the rows, the chain and the counter of one moment, and simply goes on.
//!
//! Rejected: a chain that is written with the entry (each write of a tenant would wait for the one before it), a sequence in
//! the log (numbers are given in another order than they are committed, and are lost with what is rolled back), following the log by
//! id with an overlap of some minutes (a transaction may take longer, and an entry that is put into the past is never seen).

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use bulkhead_domain::AuditEntryId;
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Binary, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    audit::{Chain, ChainedEntry, Hash, Personal, SALT, search_key},
    engine::{
        error::{DbError, DbResult},
        scope::OwnerTx,
    },
};

/// Entries that one step chains.
const BATCH: usize = 2_000;

/// A log that may have entries which are not chained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose.
    pub chain: Chain,
    /// How many rows PostgreSQL says were inserted.
    inserted: i64,
}

#[derive(QueryableByName)]
struct DueRow {
    #[diesel(sql_type = SqlUuid)]
    chain: Uuid,
    #[diesel(sql_type = BigInt)]
    inserted: i64,
}

/// Logs to look at, at most `limit`: those into which something was inserted since the last look, as far as PostgreSQL's
/// statistics know yet, those that are not chained to the end, and each once an hour, whatever the statistics say. A log of before
/// there were chains is left out. That is asked of those alone that are due: the columns of all tables are by far the largest
/// catalog, and the rest takes a tenth of a second for 10,000 tenants.
pub async fn due(tx: &mut OwnerTx, limit: u16) -> DbResult<Vec<Due>> {
    let query = diesel::sql_query(
        "WITH logs AS ( \
             SELECT t.id AS chain, c.oid, pg_stat_get_tuples_inserted(c.oid) AS inserted \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN tenants t ON t.role_name = n.nspname \
             WHERE c.relname = 'audit_log' \
             UNION ALL \
             SELECT '00000000-0000-0000-0000-000000000000', c.oid, pg_stat_get_tuples_inserted(c.oid) \
             FROM pg_class c WHERE c.oid = 'platform.audit_log'::regclass), \
         due AS MATERIALIZED ( \
             SELECT l.chain, l.oid, l.inserted, a.looked_at FROM logs l LEFT JOIN audit_chains a ON a.chain = l.chain \
             WHERE a.chain IS NULL OR a.target IS NOT NULL OR a.inserted IS DISTINCT FROM l.inserted \
                 OR a.looked_at < now() - interval '1 hour') \
         SELECT chain, inserted FROM due \
         WHERE (SELECT count(*) FROM pg_attribute WHERE attrelid = due.oid AND attname = 'xid' AND NOT attisdropped) > 0 \
         ORDER BY looked_at NULLS FIRST LIMIT $1",
    );
    let rows: Vec<DueRow> = tx.tx.load(query.bind::<BigInt, _>(i64::from(limit))).await?;
    Ok(rows
        .into_iter()
        .map(|row| Due { chain: Chain::from_uuid(row.chain), inserted: row.inserted })
        .collect())
}

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stepped {
    /// Entries that were added to the chain.
    pub chained: usize,
    /// Whether there are more to be added.
    pub more: bool,
}

#[derive(QueryableByName)]
struct Head {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
    /// Null for a log that has to be read from its beginning.
    #[diesel(sql_type = Nullable<Text>)]
    seen: Option<String>,
    #[diesel(sql_type = Text)]
    target: String,
    #[diesel(sql_type = Nullable<Text>)]
    resume_xid: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    resume_id: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    is_here: bool,
}

#[derive(QueryableByName)]
struct Fresh {
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
    #[diesel(sql_type = Nullable<Text>)]
    xid: Option<String>,
}

/// Chains the next entries of a log.
pub async fn step(tx: &mut OwnerTx, due: Due) -> DbResult<Stepped> {
    let stepped = advance(tx, due.chain).await?;
    let looked = diesel::sql_query(
        "UPDATE audit_chains SET inserted = $2, looked_at = clock_timestamp() WHERE chain = $1",
    );
    let looked = looked.bind::<SqlUuid, _>(due.chain.uuid()).bind::<BigInt, _>(due.inserted);
    tx.tx.execute(looked).await?;
    Ok(stepped)
}

/// [`step`] for a log of which it does not matter when it was looked at.
pub async fn advance(tx: &mut OwnerTx, chain: Chain) -> DbResult<Stepped> {
    let head = lock(tx, chain).await?;
    let rows = match &head.seen {
        Some(seen) => unseen(tx, chain, &head, seen).await?,
        None => unread(tx, chain, &head).await?,
    };
    let more = rows.len() >= BATCH;
    let (last_xid, last_id) = (rows.last().and_then(|row| row.xid.clone()), rows.last().map(|row| row.id));
    let chained = rows.len();
    let (sequence, hash) = append(tx, chain, &head, rows).await?;
    let (seen, target, resume_xid, resume_id) = match (more, head.seen) {
        // In the first reading every row that is there has its turn by its id.
        (true, None) => (None, Some(head.target), None, last_id),
        (true, Some(seen)) => (Some(seen), Some(head.target), last_xid, None),
        (false, _) => (Some(head.target), None, None, None),
    };
    let keep = diesel::sql_query(
        "UPDATE audit_chains SET sequence = $2, hash = $3, seen = $4::pg_snapshot, target = $5::pg_snapshot, \
             resume_xid = $6::xid8, resume_id = $7 WHERE chain = $1",
    )
    .bind::<SqlUuid, _>(chain.uuid())
    .bind::<BigInt, _>(sequence)
    .bind::<Binary, _>(hash.to_vec())
    .bind::<Nullable<Text>, _>(seen)
    .bind::<Nullable<Text>, _>(target)
    .bind::<Nullable<Text>, _>(resume_xid)
    .bind::<Nullable<SqlUuid>, _>(resume_id);
    tx.tx.execute(keep).await?;
    Ok(Stepped { chained, more })
}

/// The chain's row, locked. A chain of another server is to be read from the beginning.
async fn lock(tx: &mut OwnerTx, chain: Chain) -> DbResult<Head> {
    let make = diesel::sql_query("INSERT INTO audit_chains (chain) VALUES ($1) ON CONFLICT DO NOTHING");
    tx.tx.execute(make.bind::<SqlUuid, _>(chain.uuid())).await?;
    let head = head(tx, chain).await?;
    if head.is_here {
        return Ok(head);
    }
    // What the other server called its transactions may be later than any that is known here. Those that are not are taken for
    // transactions that this server had before, and those every snapshot sees.
    let begin = format!(
        "UPDATE {} SET xid = NULL WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()); \
         UPDATE audit_chains SET server = (SELECT system_identifier FROM pg_control_system()), seen = NULL, \
             target = pg_current_snapshot(), resume_xid = NULL, resume_id = NULL WHERE chain = '{}'",
        chain.log(),
        chain.uuid(),
    );
    tx.tx.batch(&begin).await?;
    self::head(tx, chain).await
}

async fn head(tx: &mut OwnerTx, chain: Chain) -> DbResult<Head> {
    // The target is the snapshot of this statement: all that it sees is seen by the statements after it.
    let query = diesel::sql_query(
        "SELECT sequence, hash, seen::text, coalesce(target, pg_current_snapshot())::text AS target, \
             resume_xid::text, resume_id, \
             coalesce(server = (SELECT system_identifier FROM pg_control_system()), false) AS is_here \
         FROM audit_chains WHERE chain = $1 FOR UPDATE",
    );
    tx.tx.one(query.bind::<SqlUuid, _>(chain.uuid())).await
}

const COLUMNS: &str = "e.id, e.at, e.actor, e.act, e.action, e.target, e.request_id, e.address, \
     e.changes::text AS changes, e.xid::text AS xid";
const NOT_CHAINED: &str = "NOT EXISTS (SELECT FROM audit_links l WHERE l.chain = $1 AND l.entry_id = e.id)";

/// Entries that the target sees and the snapshot before it does not.
async fn unseen(tx: &mut OwnerTx, chain: Chain, head: &Head, seen: &str) -> DbResult<Vec<Fresh>> {
    let query = diesel::sql_query(format!(
        "SELECT {COLUMNS} FROM {} e \
         WHERE e.xid >= coalesce($4::xid8, pg_snapshot_xmin($2::pg_snapshot)) \
             AND NOT pg_visible_in_snapshot(e.xid, $2::pg_snapshot) \
             AND pg_visible_in_snapshot(e.xid, $3::pg_snapshot) AND {NOT_CHAINED} \
         ORDER BY e.xid, e.id LIMIT $5",
        chain.log()
    ))
    .bind::<SqlUuid, _>(chain.uuid())
    .bind::<Text, _>(seen.to_owned())
    .bind::<Text, _>(head.target.clone())
    .bind::<Nullable<Text>, _>(head.resume_xid.clone())
    .bind::<BigInt, _>(batch());
    tx.tx.load(query).await
}

/// Entries that are there and not in the chain, behind the ones that the first reading has come by.
async fn unread(tx: &mut OwnerTx, chain: Chain, head: &Head) -> DbResult<Vec<Fresh>> {
    let query = diesel::sql_query(format!(
        "SELECT {COLUMNS} FROM {} e WHERE e.id > coalesce($2, '00000000-0000-0000-0000-000000000000') \
             AND {NOT_CHAINED} ORDER BY e.id LIMIT $3",
        chain.log()
    ))
    .bind::<SqlUuid, _>(chain.uuid())
    .bind::<Nullable<SqlUuid>, _>(head.resume_id)
    .bind::<BigInt, _>(batch());
    tx.tx.load(query).await
}

fn batch() -> i64 {
    i64::try_from(BATCH).unwrap_or(i64::MAX)
}

/// Links the entries behind the head; the number and the hash of the last one.
async fn append(tx: &mut OwnerTx, chain: Chain, head: &Head, rows: Vec<Fresh>) -> DbResult<(i64, Hash)> {
    let mut hash = Hash::try_from(head.hash.as_slice()).map_err(|_length| {
        DbError::Unreadable(format!("chain {chain}: a hash of {} bytes", head.hash.len()))
    })?;
    let mut sequence = head.sequence;
    if rows.is_empty() {
        return Ok((sequence, hash));
    }
    let salts = salts(rows.len())?;
    let mut links = Links::default();
    for (row, salts) in rows.into_iter().zip(salts.chunks(2 * SALT)) {
        let (address_salt, changes_salt) = salts.split_at(SALT.min(salts.len()));
        let entry = row.salted(address_salt, changes_salt);
        sequence += 1;
        hash = entry
            .hash(chain, sequence, &hash)
            .map_err(|error| DbError::Unreadable(format!("entry {}: {error}", entry.id)))?;
        links.sequences.push(sequence);
        links.entries.push(entry.id.uuid());
        links.hashes.push(hash.to_vec());
        links.actors.push(search_key(&entry.actor));
        links.actions.push(search_key(&entry.action));
        links.targets.push(search_key(&entry.target));
        links.requests.push(search_key(&entry.request_id));
        links.address_salts.push(entry.address.salt);
        links.changes_salts.push(entry.changes.salt);
    }
    let insert = diesel::sql_query(
        "INSERT INTO audit_links (chain, sequence, entry_id, address_salt, changes_salt, hash, \
             actor_key, action_key, target_key, request_key) \
         SELECT $1, * FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind::<SqlUuid, _>(chain.uuid())
    .bind::<Array<BigInt>, _>(links.sequences)
    .bind::<Array<SqlUuid>, _>(links.entries)
    .bind::<Array<Nullable<Binary>>, _>(links.address_salts)
    .bind::<Array<Nullable<Binary>>, _>(links.changes_salts)
    .bind::<Array<Binary>, _>(links.hashes)
    .bind::<Array<BigInt>, _>(links.actors)
    .bind::<Array<BigInt>, _>(links.actions)
    .bind::<Array<BigInt>, _>(links.targets)
    .bind::<Array<BigInt>, _>(links.requests);
    tx.tx.execute(insert).await?;
    Ok((sequence, hash))
}

/// The columns of links that are about to be written.
#[derive(Default)]
struct Links {
    sequences: Vec<i64>,
    entries: Vec<Uuid>,
    address_salts: Vec<Option<Vec<u8>>>,
    changes_salts: Vec<Option<Vec<u8>>>,
    hashes: Vec<Vec<u8>>,
    actors: Vec<i64>,
    actions: Vec<i64>,
    targets: Vec<i64>,
    requests: Vec<i64>,
}

/// Two salts for each entry.
fn salts(entries: usize) -> DbResult<Vec<u8>> {
    let mut salts = vec![0; entries.saturating_mul(2 * SALT)];
    let filled = SystemRandom::new().fill(&mut salts);
    filled.map_err(|_unspecified| DbError::Unreadable("no randomness for salts".to_owned()))?;
    Ok(salts)
}

impl Fresh {
    fn salted(self, address_salt: &[u8], changes_salt: &[u8]) -> ChainedEntry {
        ChainedEntry {
            id: AuditEntryId::from_uuid(self.id),
            at: self.at,
            actor: self.actor,
            act: self.act,
            action: self.action,
            target: self.target,
            request_id: self.request_id,
            address: Personal::fresh(self.address, address_salt),
            changes: Personal::fresh(Some(self.changes), changes_salt),
        }
    }
}
