//! Whether an audit log says what it said.
//!
//! Owns the walk through a chain: every link is computed again from the entry and compared with what was kept, and what is in the
//! log and not in the chain is looked for. Reads in portions, each one statement, so that the log is not held up. What it cannot see
//! by itself is a chain that was computed anew by somebody with all rights; an anchor, which lies elsewhere, tells of that.
//! Refuses to repair anything.

use std::{collections::BTreeMap, fmt};

use bulkhead_domain::AuditEntryId;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Binary, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    audit::{BEGINNING, Chain, ChainedEntry, Hash, Personal, anchor::Anchored},
    engine::{
        error::{DbError, DbResult},
        scope::{Owner, OwnerTx},
    },
};

/// Links that are read at a time.
const PORTION: i64 = 5_000;

/// How much older than the one before it an entry may be. A transaction takes minutes at most, and clocks differ by seconds.
const OUT_OF_ORDER: TimeDelta = TimeDelta::hours(1);

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many entries are chained, as far as the chain holds.
    pub entries: i64,
    /// Of how many of them a person's data was erased.
    pub erased: i64,
    /// How many entries are not chained yet.
    pub waiting: i64,
    /// The first place at which it does not hold.
    pub broken: Option<Break>,
}

/// A place at which a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The number of the entry; `None` when it is in no chain.
    pub sequence: Option<i64>,
    /// The entry, where one is known.
    pub entry: Option<AuditEntryId>,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The link of this number is not there.
    NoLink,
    /// There is a link, and no entry.
    NoEntry,
    /// The entry is not what was chained, or the one before it was another.
    Changed,
    /// The entry says that it is much older than the one before it.
    OutOfOrder,
    /// The chain ends elsewhere than its head says.
    Head,
    /// The log has entries which were left out of the chain.
    NotChained(i64),
    /// The chain is not the one that was anchored.
    Anchor(String),
    /// The chain is shorter than the one that was anchored.
    Shorter(String),
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(sequence) = self.sequence {
            write!(f, "entry {sequence}")?;
        }
        if let Some(entry) = self.entry {
            write!(f, "{}{entry}", if self.sequence.is_some() { ", " } else { "" })?;
        }
        if self.sequence.is_some() || self.entry.is_some() {
            f.write_str(": ")?;
        }
        match &self.why {
            Why::NoLink => f.write_str("its link is gone"),
            Why::NoEntry => f.write_str("it was deleted"),
            Why::Changed => f.write_str("it is not what was chained"),
            Why::OutOfOrder => f.write_str("it was added later than it says"),
            Why::Head => f.write_str("the chain does not end where its head says"),
            Why::NotChained(1) => f.write_str("it was put into the log behind the chain's back"),
            Why::NotChained(more) => {
                write!(f, "it was put into the log behind the chain's back, like {} others", more - 1)
            }
            Why::Anchor(source) => write!(f, "the chain is not the one that was anchored ({source})"),
            Why::Shorter(source) => write!(f, "the chain is shorter than when it was anchored ({source})"),
        }
    }
}

#[derive(QueryableByName)]
struct Head {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
    #[diesel(sql_type = Nullable<Text>)]
    seen: Option<String>,
}

#[derive(QueryableByName)]
struct Linked {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = SqlUuid)]
    entry_id: Uuid,
    #[diesel(sql_type = Nullable<Binary>)]
    address_salt: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    address_commitment: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    changes_salt: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    changes_commitment: Option<Vec<u8>>,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    actor: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    act: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    action: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    target: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    request_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    address: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    changes: Option<String>,
}

impl Linked {
    /// The entry with what the chain keeps of it; `None` when the log has none.
    fn entry(self) -> Option<ChainedEntry> {
        let (salt, commitment) = (self.changes_salt, self.changes_commitment);
        let changes = match self.changes {
            Some(text) => Personal::kept(text, salt, commitment),
            // A tenant that was purged.
            None => Personal { value: None, salt, commitment },
        };
        Some(ChainedEntry {
            id: AuditEntryId::from_uuid(self.entry_id),
            at: self.at?,
            actor: self.actor?,
            act: self.act,
            action: self.action?,
            target: self.target?,
            request_id: self.request_id?,
            address: Personal {
                value: self.address,
                salt: self.address_salt,
                commitment: self.address_commitment,
            },
            changes,
        })
    }
}

/// Where a chain's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// In the log.
    Log,
    /// The tenant was purged: without what was changed, among those of all such tenants.
    Kept,
    /// They are on their way from the one to the other.
    OnTheWay,
}

/// All chains, the operators' first.
pub async fn chains(owner: &Owner) -> DbResult<Vec<Chain>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        chain: Uuid,
    }
    let list = async |tx: &mut OwnerTx| {
        let query = "SELECT chain FROM audit_chains ORDER BY chain";
        tx.tx.load(diesel::sql_query(query)).await
    };
    let chains: Vec<Row> = owner.read::<_, DbError>(list).await?;
    Ok(chains.into_iter().map(|row| Chain::from_uuid(row.chain)).collect())
}

/// Walks through a chain. `tell` is called with how many entries were verified, of how many. `None` for a tenant that is being
/// purged just now, whose entries are neither here nor there.
pub async fn verify(
    owner: &Owner,
    chain: Chain,
    anchors: &[Anchored],
    mut tell: impl FnMut(i64, i64),
) -> DbResult<Option<Verdict>> {
    let (head, source) = owner.read(async |tx| beginning(tx, chain).await).await?;
    if source == Source::OnTheWay {
        return Ok(None);
    }
    let mut walk = Walk::new(chain, anchors);
    let end = head.as_ref().map_or(0, |head| head.sequence);
    while walk.broken.is_none() && walk.sequence < end {
        let after = walk.sequence;
        let portion = owner.read(async |tx| links(tx, chain, source, after, end).await).await?;
        if portion.is_empty() {
            walk.breaks(Some(after + 1), None, Why::NoLink);
        }
        for linked in portion {
            walk.take(linked);
        }
        tell(walk.sequence, end);
    }
    walk.ends(head.as_ref());
    let waiting = match (&head, source) {
        (Some(head), Source::Log) if walk.broken.is_none() => {
            let (left_out, waiting) = owner.read(async |tx| left_out(tx, chain, head).await).await?;
            if let Some((entry, count)) = left_out {
                walk.breaks(None, Some(entry), Why::NotChained(count));
            }
            waiting
        }
        _ => 0,
    };
    Ok(Some(Verdict { entries: walk.sequence, erased: walk.erased, waiting, broken: walk.broken }))
}

/// The state of a walk.
struct Walk<'a> {
    chain: Chain,
    /// By the number of entries that the chain had.
    anchors: BTreeMap<i64, Vec<&'a Anchored>>,
    sequence: i64,
    hash: Hash,
    at: Option<DateTime<Utc>>,
    erased: i64,
    broken: Option<Break>,
}

impl<'a> Walk<'a> {
    fn new(chain: Chain, anchored: &'a [Anchored]) -> Self {
        let mut anchors: BTreeMap<i64, Vec<&Anchored>> = BTreeMap::new();
        for anchor in anchored {
            anchors.entry(anchor.sequence).or_default().push(anchor);
        }
        Self { chain, anchors, sequence: 0, hash: BEGINNING, at: None, erased: 0, broken: None }
    }

    fn breaks(&mut self, sequence: Option<i64>, entry: Option<AuditEntryId>, why: Why) {
        self.broken.get_or_insert(Break { sequence, entry, why });
    }

    fn take(&mut self, linked: Linked) {
        if self.broken.is_some() {
            return;
        }
        let (sequence, id) = (linked.sequence, AuditEntryId::from_uuid(linked.entry_id));
        if sequence != self.sequence + 1 {
            return self.breaks(Some(self.sequence + 1), None, Why::NoLink);
        }
        let kept = linked.hash.clone();
        let Some(entry) = linked.entry() else {
            return self.breaks(Some(sequence), Some(id), Why::NoEntry);
        };
        let computed = entry.hash(self.chain, sequence, &self.hash);
        let Some(hash) = computed.ok().filter(|hash| hash.as_slice() == kept) else {
            return self.breaks(Some(sequence), Some(id), Why::Changed);
        };
        if self.at.is_some_and(|before| entry.at < before - OUT_OF_ORDER) {
            return self.breaks(Some(sequence), Some(id), Why::OutOfOrder);
        }
        self.erased += i64::from(entry.address.is_erased() || entry.changes.is_erased());
        (self.sequence, self.hash, self.at) = (sequence, hash, Some(entry.at));
        let anchors = self.anchors.remove(&sequence).unwrap_or_default();
        if let Some(other) = anchors.iter().find(|anchor| anchor.hash != hash) {
            self.breaks(Some(sequence), Some(id), Why::Anchor(other.source.clone()));
        }
    }

    /// All links up to the head's were taken.
    fn ends(&mut self, head: Option<&Head>) {
        let hash = head.map_or(BEGINNING.as_slice(), |head| head.hash.as_slice());
        if self.broken.is_none() && hash != self.hash {
            self.breaks(Some(self.sequence), None, Why::Head);
        }
        let beyond = self.anchors.values().flatten().find(|anchor| anchor.sequence > self.sequence);
        if let (Some(anchor), None) = (beyond, &self.broken) {
            let why = Why::Shorter(anchor.source.clone());
            self.breaks(Some(self.sequence + 1), None, why);
        }
    }
}

async fn beginning(tx: &mut OwnerTx, chain: Chain) -> DbResult<(Option<Head>, Source)> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Bool)]
        is_purged: bool,
        #[diesel(sql_type = Bool)]
        is_being_purged: bool,
    }
    // What another server has seen says nothing of this one's transactions.
    let query = diesel::sql_query(
        "SELECT sequence, hash, \
             CASE WHEN server = (SELECT system_identifier FROM pg_control_system()) THEN seen::text END AS seen \
         FROM audit_chains WHERE chain = $1",
    );
    let head = tx.tx.first(query.bind::<SqlUuid, _>(chain.uuid())).await?;
    let query = diesel::sql_query(
        "SELECT to_regclass($2) IS NULL AS is_purged, \
             EXISTS (SELECT FROM tenant_purges WHERE tenant_id = $1 AND finished_at IS NULL) AS is_being_purged",
    );
    let found: Found = tx.tx.one(query.bind::<SqlUuid, _>(chain.uuid()).bind::<Text, _>(chain.log())).await?;
    let source = match found {
        Found { is_being_purged: true, .. } => Source::OnTheWay,
        Found { is_purged: true, .. } => Source::Kept,
        Found { .. } => Source::Log,
    };
    Ok((head, source))
}

async fn links(
    tx: &mut OwnerTx,
    chain: Chain,
    source: Source,
    after: i64,
    end: i64,
) -> DbResult<Vec<Linked>> {
    let entries = match source {
        Source::Kept | Source::OnTheWay => {
            "(SELECT id, at, actor, act, action, target, request_id, NULL AS address, NULL AS changes \
              FROM tenant_audit_log WHERE tenant_id = $1)"
                .to_owned()
        }
        Source::Log => chain.log(),
    };
    let query = diesel::sql_query(format!(
        "SELECT l.sequence, l.entry_id, l.address_salt, l.address_commitment, l.changes_salt, l.changes_commitment, \
             l.hash, e.at, e.actor, e.act, e.action, e.target, e.request_id, e.address, e.changes::text AS changes \
         FROM audit_links l LEFT JOIN {entries} e ON e.id = l.entry_id \
         WHERE l.chain = $1 AND l.sequence > $2 AND l.sequence <= $3 ORDER BY l.sequence LIMIT $4"
    ))
    .bind::<SqlUuid, _>(chain.uuid())
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(end)
    .bind::<BigInt, _>(PORTION);
    tx.tx.load(query).await
}

/// The first entry that should be in the chain by what the chain says it has seen, with how many there are; and how many are
/// still to be chained. Looked for by an entry that is in no link at all, however it came into the log.
async fn left_out(
    tx: &mut OwnerTx,
    chain: Chain,
    head: &Head,
) -> DbResult<(Option<(AuditEntryId, i64)>, i64)> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<SqlUuid>)]
        first: Option<Uuid>,
        #[diesel(sql_type = BigInt)]
        left_out: i64,
        #[diesel(sql_type = BigInt)]
        waiting: i64,
    }
    // Until the log was read once from its beginning to its end, everything may still be on its way.
    // A transaction that is still to come has not written what can be read.
    let is_seen = "$2 IS NOT NULL AND (e.xid IS NULL OR pg_visible_in_snapshot(e.xid, $2::pg_snapshot) \
         OR e.xid >= pg_snapshot_xmax(pg_current_snapshot()))";
    let query = diesel::sql_query(format!(
        "SELECT (array_agg(e.id ORDER BY e.id) FILTER (WHERE {is_seen}))[1] AS first, \
             count(*) FILTER (WHERE {is_seen}) AS left_out, count(*) FILTER (WHERE NOT ({is_seen})) AS waiting \
         FROM {} e WHERE NOT EXISTS (SELECT FROM audit_links l WHERE l.chain = $1 AND l.entry_id = e.id)",
        chain.log()
    ))
    .bind::<SqlUuid, _>(chain.uuid())
    .bind::<Nullable<Text>, _>(head.seen.clone());
    let row: Row = tx.tx.one(query).await?;
    let first = row.first.map(|id| (AuditEntryId::from_uuid(id), row.left_out));
    Ok((first, row.waiting))
}
