//! Usage, applied exactly once.
//!
//! The row of a recorder in `usage_batches` says which of its batches are in the rollups, and it is changed by the
//! transaction that adds them. That transaction first locks the rows of all recorders it is about to look at, in the
//! order of their ids; so of two that carry the same batch one waits for the other and then finds it applied. It does
//! not matter which process sends a batch, how often, or in which order.
//!
//! What tenants' transactions have counted lies in `usage_counts` as they have committed it. The transaction that adds a row
//! of it to the rollups deletes the row, so it is in one of the two and never in both.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use bigdecimal::{BigDecimal, num_bigint::BigInt as Whole};
use bulkhead_domain::{
    TenantId,
    metering::{BatchId, LatencyHistogram, RequestStats, UsageBatch},
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    dsl::sum,
    prelude::*,
    sql_types::{
        Array, BigInt, Binary, Bool, Date, Integer, Nullable, Numeric, SmallInt, Text, Timestamptz,
        Uuid as SqlUuid,
    },
};
use uuid::Uuid;

use crate::{
    engine::{
        error::{DbError, DbResult},
        page::{Page, PageRequest},
        scope::PlatformTx,
    },
    gate::usage::MeterTotal,
    schema::platform::{meters, usage_batches_rejected, usage_days},
};

/// What became of the batches that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Batches that are in the rollups now.
    pub fresh: usize,
    /// Batches that were in the rollups before, or were sent twice at once.
    pub duplicate: usize,
}

/// Adds batches to the rollups, each at most once. The transaction must be at READ COMMITTED (`platform_write` is):
/// what another transaction has applied meanwhile must be seen.
pub async fn apply<'a>(
    tx: &mut PlatformTx,
    batches: impl IntoIterator<Item = &'a UsageBatch>,
) -> DbResult<Applied> {
    let mut sent = 0;
    let mut by_id = BTreeMap::new();
    for batch in batches {
        sent += 1;
        by_id.insert((batch.id.boot, sequence(batch.id)?), batch);
    }
    if by_id.is_empty() {
        return Ok(Applied::default());
    }
    let fresh = lock_and_sift(tx, &by_id).await?;
    if !fresh.is_empty() {
        let rollup = Rollup::of(fresh.iter().filter_map(|id| by_id.get(id).copied()))?;
        rollup.add_minutes(tx).await?;
        rollup.add_hours_and_days(tx).await?;
        mark_applied(tx, &fresh).await?;
    }
    Ok(Applied { fresh: fresh.len(), duplicate: sent - fresh.len() })
}

fn sequence(id: BatchId) -> DbResult<i64> {
    i64::try_from(id.seq)
        .map_err(|_too_big| DbError::Unreadable(format!("batch number {} is out of range", id.seq)))
}

/// Batches of one recorder without a gap between them: a recorder numbers what it sends, so thousands are a few of these.
#[derive(Debug, PartialEq, Eq, QueryableByName)]
struct Span {
    #[diesel(sql_type = SqlUuid)]
    boot: Uuid,
    #[diesel(sql_type = BigInt)]
    first: i64,
    #[diesel(sql_type = BigInt)]
    last: i64,
}

impl Span {
    fn join(ids: impl IntoIterator<Item = (Uuid, i64)>) -> Vec<Self> {
        let mut spans: Vec<Self> = vec![];
        for (boot, seq) in ids {
            match spans.last_mut() {
                Some(span) if span.boot == boot && span.last.checked_add(1) == Some(seq) => span.last = seq,
                _ => spans.push(Self { boot, first: seq, last: seq }),
            }
        }
        spans
    }

    fn columns(spans: Vec<Self>) -> (Vec<Uuid>, Vec<i64>, Vec<i64>) {
        spans.into_iter().map(|span| (span.boot, span.first, span.last)).collect()
    }
}

/// Locks the recorders' rows and returns the batches that are not applied. The lock is taken in a part of the statement
/// that is evaluated on its own, and hands on the row as it is once the lock is had.
async fn lock_and_sift(
    tx: &mut PlatformTx,
    by_id: &BTreeMap<(Uuid, i64), &UsageBatch>,
) -> DbResult<BTreeSet<(Uuid, i64)>> {
    let nodes: BTreeMap<Uuid, &str> =
        by_id.iter().map(|((boot, _), batch)| (*boot, batch.node.as_str())).collect();
    let (boots, names): (Vec<Uuid>, Vec<&str>) = nodes.into_iter().unzip();
    let ensure = diesel::sql_query(
        "INSERT INTO usage_batches (boot, node) SELECT new.boot, new.node FROM unnest($1, $2) AS new (boot, node) \
         ON CONFLICT (boot) DO NOTHING",
    )
    .bind::<Array<SqlUuid>, _>(boots.clone())
    .bind::<Array<Text>, _>(names);
    tx.tx.execute(ensure).await?;
    let (sent_boots, firsts, lasts) = Span::columns(Span::join(by_id.keys().copied()));
    let sift = diesel::sql_query(
        "WITH locked AS MATERIALIZED ( \
             SELECT boot, applied FROM usage_batches WHERE boot = ANY ($1) ORDER BY boot FOR UPDATE \
         ) \
         SELECT boot, lower(span) AS first, upper(span) - 1 AS last \
         FROM (SELECT boot, range_agg(int8range(first, last, '[]')) AS seqs \
               FROM unnest($2, $3, $4) AS sent (boot, first, last) GROUP BY boot) sent \
         JOIN locked USING (boot), unnest(locked.applied * sent.seqs) AS span",
    )
    .bind::<Array<SqlUuid>, _>(boots)
    .bind::<Array<SqlUuid>, _>(sent_boots)
    .bind::<Array<BigInt>, _>(firsts)
    .bind::<Array<BigInt>, _>(lasts);
    let mut fresh: BTreeSet<(Uuid, i64)> = by_id.keys().copied().collect();
    for Span { boot, first, last } in tx.tx.load(sift).await? {
        let applied: Vec<_> = fresh.range((boot, first)..=(boot, last)).copied().collect();
        for id in applied {
            fresh.remove(&id);
        }
    }
    Ok(fresh)
}

async fn mark_applied(tx: &mut PlatformTx, fresh: &BTreeSet<(Uuid, i64)>) -> DbResult<()> {
    let (boots, firsts, lasts) = Span::columns(Span::join(fresh.iter().copied()));
    let statement = diesel::sql_query(
        "UPDATE usage_batches SET applied = applied + done.seqs, applied_at = now() \
         FROM (SELECT boot, range_agg(int8range(first, last, '[]')) AS seqs \
               FROM unnest($1, $2, $3) AS fresh (boot, first, last) GROUP BY boot) done \
         WHERE usage_batches.boot = done.boot",
    )
    .bind::<Array<SqlUuid>, _>(boots)
    .bind::<Array<BigInt>, _>(firsts)
    .bind::<Array<BigInt>, _>(lasts);
    tx.tx.execute(statement).await?;
    Ok(())
}

/// Many batches folded into one addition. The keys are in order, so that all transactions lock rows in the same order.
struct Rollup<'a> {
    minutes: BTreeMap<(TenantId, u32, &'a str, u8), RequestStats>,
    /// By hour since the epoch; exact, in thousandths of the meter's unit.
    hours: BTreeMap<(TenantId, &'a str, u32), u128>,
}

impl<'a> Rollup<'a> {
    fn of(batches: impl Iterator<Item = &'a UsageBatch>) -> DbResult<Self> {
        let mut rollup = Self { minutes: BTreeMap::new(), hours: BTreeMap::new() };
        for UsageBatch { entries, quantities, .. } in batches {
            for (key, stats) in entries {
                let minute = (key.tenant, key.minute, key.route.as_str(), key.status.get());
                rollup.minutes.entry(minute).or_default().merge(stats);
                for (meter, milli) in stats.by_meter() {
                    rollup.add(key.tenant, meter.as_str(), key.minute / 60, milli)?;
                }
            }
            for (key, milli) in quantities {
                rollup.add(key.tenant, key.meter.as_str(), key.minute / 60, *milli)?;
            }
        }
        if rollup.minutes.values().all(fits) { Ok(rollup) } else { Err(too_much()) }
    }

    /// Adds to an hour; nothing is no row.
    fn add(&mut self, tenant: TenantId, meter: &'a str, hour: u32, milli: u128) -> DbResult<()> {
        if milli > 0 {
            let sum = self.hours.entry((tenant, meter, hour)).or_default();
            *sum = sum.checked_add(milli).ok_or_else(too_much)?;
        }
        Ok(())
    }

    /// The histograms travel as one flat array, and each row cuts its own piece out of it.
    async fn add_minutes(&self, tx: &mut PlatformTx) -> DbResult<()> {
        let counts = |field: fn(&RequestStats) -> u64| -> Vec<i64> {
            self.minutes.values().map(|stats| clamped(field(stats))).collect()
        };
        let latencies: Vec<i64> = self
            .minutes
            .values()
            .flat_map(|stats| stats.latency.counts().iter().copied().map(clamped).collect::<Vec<_>>())
            .collect();
        let statement = diesel::sql_query(include_str!("usage/add_minutes.sql"))
            .bind::<Array<SqlUuid>, _>(self.minutes.keys().map(|key| key.0.uuid()).collect::<Vec<_>>())
            .bind::<Array<Timestamptz>, _>(
                self.minutes.keys().map(|key| start(key.1, 60)).collect::<Vec<_>>(),
            )
            .bind::<Array<Text>, _>(self.minutes.keys().map(|key| key.2).collect::<Vec<_>>())
            .bind::<Array<SmallInt>, _>(self.minutes.keys().map(|key| i16::from(key.3)).collect::<Vec<_>>())
            .bind::<Array<BigInt>, _>(counts(|stats| stats.requests))
            .bind::<Array<BigInt>, _>(counts(|stats| stats.compute_micros))
            .bind::<Array<BigInt>, _>(counts(|stats| stats.ingress_bytes))
            .bind::<Array<BigInt>, _>(counts(|stats| stats.egress_bytes))
            .bind::<Array<BigInt>, _>(latencies)
            .bind::<Integer, _>(BUCKETS);
        tx.tx.execute(statement).await?;
        Ok(())
    }

    /// Adds to hours and days in one statement. The two parts do not see each other's rows, and need not.
    async fn add_hours_and_days(&self, tx: &mut PlatformTx) -> DbResult<()> {
        let mut days: BTreeMap<(TenantId, &str, NaiveDate), u128> = BTreeMap::new();
        for ((tenant, meter, hour), milli) in &self.hours {
            let sum = days.entry((*tenant, *meter, start(*hour, 3_600).date_naive())).or_default();
            *sum = sum.checked_add(*milli).ok_or_else(too_much)?;
        }
        let statement = diesel::sql_query(include_str!("usage/add_hours_and_days.sql"))
            .bind::<Array<SqlUuid>, _>(self.hours.keys().map(|key| key.0.uuid()).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(self.hours.keys().map(|key| key.1).collect::<Vec<_>>())
            .bind::<Array<Timestamptz>, _>(
                self.hours.keys().map(|key| start(key.2, 3_600)).collect::<Vec<_>>(),
            )
            .bind::<Array<Numeric>, _>(self.hours.values().map(|milli| exact(*milli)).collect::<Vec<_>>())
            .bind::<Array<SqlUuid>, _>(days.keys().map(|key| key.0.uuid()).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(days.keys().map(|key| key.1).collect::<Vec<_>>())
            .bind::<Array<Date>, _>(days.keys().map(|key| key.2).collect::<Vec<_>>())
            .bind::<Array<Numeric>, _>(days.values().map(|milli| exact(*milli)).collect::<Vec<_>>());
        tx.tx.execute(statement).await?;
        Ok(())
    }
}

/// What tenants' transactions have counted of one meter in one hour.
#[derive(QueryableByName)]
struct HourOfCounts {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = Text)]
    meter: String,
    /// Since the epoch.
    #[diesel(sql_type = BigInt)]
    hour: i64,
    /// The sum in thousandths of the meter's unit.
    #[diesel(sql_type = Text)]
    milli: String,
    #[diesel(sql_type = BigInt)]
    counts: i64,
}

/// Moves what tenants' transactions have counted into the rollups, the oldest first, at most `limit` counts; how many it were.
/// Call it again until it is fewer. Two at once move different counts.
pub async fn fold_counts(tx: &mut PlatformTx, limit: usize) -> DbResult<usize> {
    let take = diesel::sql_query(include_str!("usage/fold_counts.sql"))
        .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX));
    let hours: Vec<HourOfCounts> = tx.tx.load(take).await?;
    if hours.is_empty() {
        return Ok(0);
    }
    let unreadable = |row: &HourOfCounts| {
        DbError::Unreadable(format!("{} of {} counted in hour {}", row.milli, row.meter, row.hour))
    };
    let mut rollup = Rollup { minutes: BTreeMap::new(), hours: BTreeMap::new() };
    for row in &hours {
        let (Ok(hour), Ok(milli)) = (u32::try_from(row.hour), row.milli.parse::<u128>()) else {
            return Err(unreadable(row));
        };
        rollup.add(TenantId::from_uuid(row.tenant_id), &row.meter, hour, milli)?;
    }
    rollup.add_hours_and_days(tx).await?;
    Ok(hours.iter().map(|row| usize::try_from(row.counts).unwrap_or(0)).sum())
}

/// How many counts of tenants' transactions are not in the rollups yet, at most: the ids are looked at and not the rows, so those
/// of transactions that were undone are among them.
pub async fn counts_waiting(tx: &mut PlatformTx) -> DbResult<i64> {
    #[derive(QueryableByName)]
    struct Waiting {
        #[diesel(sql_type = BigInt)]
        waiting: i64,
    }
    let query = diesel::sql_query("SELECT coalesce(max(id) - min(id) + 1, 0) AS waiting FROM usage_counts");
    let row: Waiting = tx.tx.one(query).await?;
    Ok(row.waiting)
}

const BUCKETS: i32 = 24;
const _: () =
    assert!(LatencyHistogram::BUCKETS == 24, "the flat array of histograms is cut into pieces of BUCKETS");

fn exact(milli: u128) -> BigDecimal {
    BigDecimal::new(Whole::from(milli), 3).normalized()
}

fn too_much() -> DbError {
    DbError::Unreadable("usage counts more than can be added up".to_owned())
}

fn fits(stats: &RequestStats) -> bool {
    [stats.requests, stats.compute_micros, stats.ingress_bytes, stats.egress_bytes]
        .iter()
        .chain(stats.latency.counts())
        .all(|count| i64::try_from(*count).is_ok())
}

/// Called only for counts that [`fits`] has checked, so none is clamped.
fn clamped(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The start of the `n`-th stretch of `seconds` since the epoch.
fn start(n: u32, seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(i64::from(n) * seconds, 0).unwrap_or_default()
}

/// Which batches of a recorder are in the rollups, of those numbered from `first` to `last`; without gaps each, in order.
pub async fn confirmed(tx: &mut PlatformTx, first: BatchId, last: u64) -> DbResult<Vec<RangeInclusive<u64>>> {
    let query = diesel::sql_query(
        "SELECT boot, lower(span) AS first, upper(span) - 1 AS last FROM usage_batches, \
         unnest(applied * int8multirange(int8range($2, $3, '[]'))) AS span WHERE boot = $1 ORDER BY span",
    )
    .bind::<SqlUuid, _>(first.boot)
    .bind::<BigInt, _>(sequence(first)?)
    .bind::<BigInt, _>(sequence(BatchId { seq: last, ..first })?);
    let spans: Vec<Span> = tx.tx.load(query).await?;
    Ok(spans.into_iter().map(|span| span.first.unsigned_abs()..=span.last.unsigned_abs()).collect())
}

/// A stream entry that cannot be applied.
#[derive(Clone, Copy, Debug)]
pub struct Rejected<'a> {
    /// Its id.
    pub entry: &'a str,
    /// Its batch, or the beginning of it.
    pub bytes: &'a [u8],
    /// How long the batch is.
    pub length: usize,
    /// Why it cannot be applied.
    pub reason: &'a str,
    /// Whether it has our tag. Every byte of an entry without it may have been chosen by another writer of the stream.
    pub is_authentic: bool,
}

/// How many entries without our tag are kept. A process that can write to Redis can write as many as it likes, and a
/// person who looks at them learns as much from some as from all.
const FOREIGN_KEPT: i64 = 1_000;

/// Bytes that are kept of an entry without our tag.
const FOREIGN_BYTES: i32 = 1_024;

/// How many more entries without our tag are to be kept.
pub async fn room_for_foreign(tx: &mut PlatformTx) -> DbResult<u64> {
    let kept = usage_batches_rejected::table.filter(diesel::dsl::not(usage_batches_rejected::authentic));
    let kept: i64 = tx.tx.one(kept.count()).await?;
    Ok(u64::try_from(FOREIGN_KEPT - kept).unwrap_or(0))
}

/// Sets a stream entry aside that has not our tag or cannot be read, for people to look at. An entry with our tag is
/// kept whole; of one without it the beginning, length and hash are kept. An entry that is set aside twice is kept
/// once. An entry with our tag is kept once however many copies of it are in the stream.
pub async fn reject(tx: &mut PlatformTx, rejected: &Rejected<'_>) -> DbResult<()> {
    let statement = diesel::sql_query(
        "INSERT INTO usage_batches_rejected (entry, payload, reason, authentic, bytes, sha256) \
         SELECT $1, CASE WHEN $4 THEN $2 ELSE substr($2, 1, $6) END, $3, $4, $5, \
                CASE WHEN $5 = length($2) THEN sha256($2) END \
         WHERE NOT $4 OR NOT EXISTS (SELECT FROM usage_batches_rejected WHERE authentic AND sha256 = sha256($2)) \
         ON CONFLICT (entry) DO NOTHING",
    )
    .bind::<Text, _>(rejected.entry)
    .bind::<Binary, _>(rejected.bytes)
    .bind::<Text, _>(rejected.reason)
    .bind::<Bool, _>(rejected.is_authentic)
    .bind::<Integer, _>(i32::try_from(rejected.length).unwrap_or(i32::MAX))
    .bind::<Integer, _>(FOREIGN_BYTES);
    tx.tx.execute(statement).await?;
    Ok(())
}

/// What one tenant used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantTotals {
    /// Its id.
    pub tenant: TenantId,
    /// The name it is known by outside, or was before it was purged.
    pub slug: String,
    /// The name people read.
    pub name: String,
    /// How much of what; a meter that was not used is missing.
    pub quantities: Vec<MeterTotal>,
}

#[derive(QueryableByName)]
struct UsageRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    slug: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    meter: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    unit: Option<String>,
    #[diesel(sql_type = Nullable<Numeric>)]
    quantity: Option<BigDecimal>,
}

/// What a tenant used on the days from `from` up to, not including, `until`.
pub async fn totals(
    tx: &mut PlatformTx,
    tenant: TenantId,
    from: NaiveDate,
    until: NaiveDate,
) -> DbResult<Vec<MeterTotal>> {
    let query = usage_days::table
        .left_join(meters::table.on(meters::name.eq(usage_days::meter)))
        .filter(usage_days::tenant_id.eq(tenant.uuid()))
        .filter(usage_days::day.ge(from))
        .filter(usage_days::day.lt(until))
        .group_by((usage_days::meter, meters::unit))
        .order(usage_days::meter.asc())
        .select((usage_days::meter, meters::unit.nullable(), sum(usage_days::quantity)));
    Ok(tx.tx.load(query).await?.into_iter().map(MeterTotal::of).collect())
}

/// What every tenant used on the days from `from` up to, not including, `until`: one page of tenants, in the order of
/// their ids. A tenant that used nothing is listed without quantities. All usage is some tenant's in the list: the row of a
/// tenant is never removed, not even when the tenant is purged.
pub async fn totals_of_all(
    tx: &mut PlatformTx,
    from: NaiveDate,
    until: NaiveDate,
    page: PageRequest,
) -> DbResult<Page<TenantTotals>> {
    let query = diesel::sql_query(
        "SELECT t.id, t.slug, t.name, d.meter, m.unit, sum(d.quantity) AS quantity \
         FROM (SELECT id, coalesce(tenant_purges.slug, tenants.slug) AS slug, name \
               FROM tenants LEFT JOIN tenant_purges ON tenant_id = id WHERE id > $1 ORDER BY id LIMIT $2) t \
         LEFT JOIN usage_days d ON d.tenant_id = t.id AND d.day >= $3 AND d.day < $4 \
         LEFT JOIN meters m ON m.name = d.meter \
         GROUP BY t.id, t.slug, t.name, d.meter, m.unit ORDER BY t.id, d.meter",
    )
    .bind::<SqlUuid, _>(page.after.unwrap_or(Uuid::nil()))
    .bind::<BigInt, _>(page.probe())
    .bind::<Date, _>(from)
    .bind::<Date, _>(until);
    Ok(Page::cut(grouped(tx.tx.load(query).await?), page))
}

/// Gathers the lines of each tenant; the rows come in the tenants' order.
fn grouped(rows: Vec<UsageRow>) -> Vec<TenantTotals> {
    let mut reports: Vec<TenantTotals> = Vec::new();
    for row in rows {
        let tenant = TenantId::from_uuid(row.id);
        if reports.last().is_none_or(|report| report.tenant != tenant) {
            reports.push(TenantTotals { tenant, slug: row.slug, name: row.name, quantities: Vec::new() });
        }
        if let (Some(report), Some(meter)) = (reports.last_mut(), row.meter) {
            report.quantities.push(MeterTotal::of((meter, row.unit, row.quantity)));
        }
    }
    reports
}
