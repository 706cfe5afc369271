//! Reads what scaling decisions are based on, and keeps the decisions.

use bulkhead_domain::{
    TenantId,
    metering::LatencyHistogram,
    scaling::{Decision, Load, Policy},
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::engine::{error::DbResult, scope::PlatformTx};

/// How many minutes a decision looks back.
pub const WINDOW_MINUTES: i32 = 5;

/// A tenant to decide about.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantLoad {
    /// Its id.
    pub tenant: TenantId,
    /// What was seen of it in the window.
    pub load: Load,
    /// The thresholds it is watched by.
    pub policy: Policy,
    /// Its capacity now, in units.
    pub units: u32,
    /// When its capacity last changed.
    pub changed_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct LoadRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<BigInt>)]
    requests: Option<i64>,
    #[diesel(sql_type = Nullable<Array<BigInt>>)]
    latency: Option<Vec<i64>>,
    #[diesel(sql_type = Nullable<Integer>)]
    high_requests_per_minute: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    low_requests_per_minute: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    high_p95_ms: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    low_p95_ms: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    min_units: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    max_units: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    cooldown_seconds: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    units: Option<i32>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    changed_at: Option<DateTime<Utc>>,
}

/// The load of active tenants in the [`WINDOW_MINUTES`] before `until`, with the policy and the capacity of each, for
/// one page of tenants after `after`, in the order of their ids.
///
/// Tenants without traffic whose capacity is at its minimum are left out: the decision could only be to leave them
/// there, and a row per idle tenant and minute would be most of the table.
pub async fn loads(
    tx: &mut PlatformTx,
    until: DateTime<Utc>,
    after: Option<TenantId>,
    limit: u16,
) -> DbResult<Vec<TenantLoad>> {
    let query = diesel::sql_query(include_str!("scaling/loads.sql"))
        .bind::<Timestamptz, _>(until - TimeDelta::minutes(WINDOW_MINUTES.into()))
        .bind::<Timestamptz, _>(until)
        .bind::<SqlUuid, _>(after.map_or(Uuid::nil(), TenantId::uuid))
        .bind::<BigInt, _>(i64::from(limit))
        .bind::<Integer, _>(stored(Policy::default().min));
    let rows: Vec<LoadRow> = tx.tx.load(query).await?;
    Ok(rows.into_iter().map(TenantLoad::from).collect())
}

impl From<LoadRow> for TenantLoad {
    fn from(row: LoadRow) -> Self {
        let default = Policy::default();
        let or = |stored: Option<i32>, default: u32| stored.map_or(default, read);
        let policy = Policy {
            high_requests_per_minute: or(row.high_requests_per_minute, default.high_requests_per_minute),
            low_requests_per_minute: or(row.low_requests_per_minute, default.low_requests_per_minute),
            high_p95_ms: or(row.high_p95_ms, default.high_p95_ms),
            low_p95_ms: or(row.low_p95_ms, default.low_p95_ms),
            min: or(row.min_units, default.min),
            max: or(row.max_units, default.max),
            cooldown: row.cooldown_seconds.map_or(default.cooldown, |s| TimeDelta::seconds(s.into())),
        };
        let counts =
            row.latency.unwrap_or_default().into_iter().map(|n| u64::try_from(n).unwrap_or_default());
        let p95 = LatencyHistogram::from_counts(counts).percentile(0.95);
        let load = Load {
            requests_per_minute: row.requests.unwrap_or_default() as f64 / f64::from(WINDOW_MINUTES),
            p95_ms: p95.map(|micros| micros as f64 / 1_000.0),
        };
        let units = or(row.units, policy.min);
        Self { tenant: TenantId::from_uuid(row.id), load, policy, units, changed_at: row.changed_at }
    }
}

/// A decision to keep.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The id of its row.
    pub id: Uuid,
    /// The tenant that it is about.
    pub tenant: TenantId,
    /// What it was based on.
    pub load: Load,
    /// What was decided.
    pub decision: Decision,
}

/// Keeps the decisions of one minute and moves the tenants' capacity to what was decided; how many were new. A tenant
/// has one decision per minute: running this again for the same minute changes nothing.
pub async fn record(tx: &mut PlatformTx, minute: DateTime<Utc>, decided: &[Decided]) -> DbResult<usize> {
    let statement = diesel::sql_query(include_str!("scaling/record.sql"))
        .bind::<Timestamptz, _>(minute)
        .bind::<Array<SqlUuid>, _>(column(decided, |d| d.id))
        .bind::<Array<SqlUuid>, _>(column(decided, |d| d.tenant.uuid()))
        .bind::<Array<Text>, _>(column(decided, |d| d.decision.action.as_str()))
        .bind::<Array<Integer>, _>(column(decided, |d| stored(d.decision.current)))
        .bind::<Array<Integer>, _>(column(decided, |d| stored(d.decision.target)))
        .bind::<Array<Double>, _>(column(decided, |d| d.load.requests_per_minute))
        .bind::<Array<Nullable<Double>>, _>(column(decided, |d| d.load.p95_ms))
        .bind::<Array<Text>, _>(column(decided, |d| d.decision.reason.clone()));
    let row: CountRow = tx.tx.one(statement).await?;
    Ok(usize::try_from(row.n).unwrap_or_default())
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn column<T>(decided: &[Decided], field: impl Fn(&Decided) -> T) -> Vec<T> {
    decided.iter().map(field).collect()
}

fn read(stored: i32) -> u32 {
    u32::try_from(stored).unwrap_or_default()
}

fn stored(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
