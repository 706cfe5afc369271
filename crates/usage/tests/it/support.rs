//! What the tests have in common: random usage, and the totals that it must come to.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use bulkhead_domain::{
    TenantId,
    metering::{
        BatchId, LatencyHistogram, MeterKey, MeterName, Quantity, RequestStats, StatusClass, UsageBatch,
        UsageKey,
    },
};
use bulkhead_fixtures::{TestDb, TestRedis, mac};
use bulkhead_link::RedisServer;
use bulkhead_telemetry::Metrics;
use bulkhead_usage::{DrainOptions, Drained, STREAM, drain};
use chrono::{DateTime, TimeDelta, Utc};
use rand::{RngExt as _, rngs::StdRng};
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

pub(crate) const METERS: [MeterName; 2] = [MeterName::new("invoices_sent"), MeterName::new("pages_printed")];

pub(crate) const ROUTES: [&str; 3] = ["list_resources", "get_resource", "create_resource"];

/// A time in the middle of an hour, near a day's end.
pub(crate) fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_794_009_570, 0).unwrap()
}

/// The worker's clock: soon after everything that tests record.
pub(crate) fn now() -> DateTime<Utc> {
    noon() + TimeDelta::days(1)
}

pub(crate) fn tenant(n: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(n))
}

pub(crate) fn stats(rng: &mut StdRng) -> RequestStats {
    let micros = rng.random_range(100..2_000_000);
    let mut latency = LatencyHistogram::default();
    latency.record(micros);
    RequestStats {
        requests: 1,
        compute_micros: micros,
        ingress_bytes: rng.random_range(0..10_000),
        egress_bytes: rng.random_range(0..100_000),
        latency,
    }
}

/// A key among few, so that batches meet; minutes on both sides of midnight.
pub(crate) fn key(rng: &mut StdRng) -> UsageKey {
    let midnight = 1_794_009_600 / 60;
    UsageKey {
        tenant: tenant(rng.random_range(1..5)),
        route: ROUTES[rng.random_range(0..ROUTES.len())].to_owned(),
        status: StatusClass::of([200, 404][rng.random_range(0..2)]),
        minute: midnight - 3 + rng.random_range(0..6),
    }
}

pub(crate) fn batch(rng: &mut StdRng, recorder_id: Uuid, seq: u64) -> UsageBatch {
    let entries: BTreeMap<UsageKey, RequestStats> =
        (0..rng.random_range(1..12)).map(|_| (key(rng), stats(rng))).collect();
    let quantities: BTreeMap<MeterKey, u128> =
        (0..rng.random_range(0..4)).map(|_| (meter_key(rng), rng.random_range(1..5_000_000))).collect();
    let (entries, quantities) = (entries.into_iter().collect(), quantities.into_iter().collect());
    UsageBatch { id: BatchId { recorder_id, seq }, node: "test".to_owned(), entries, quantities }
}

/// Of the same tenants and minutes, and of meters that no program has declared.
fn meter_key(rng: &mut StdRng) -> MeterKey {
    let UsageKey { tenant, minute, .. } = key(rng);
    MeterKey { tenant, meter: METERS[rng.random_range(0..METERS.len())].into(), minute }
}

/// What a request counts beside itself: most count nothing.
pub(crate) fn counted(rng: &mut StdRng) -> Vec<(MeterName, Quantity)> {
    let quantity = |rng: &mut StdRng| Quantity::thousandths(rng.random_range(1..5_000)).unwrap();
    let count = [0, 0, 1, 2][rng.random_range(0..4)];
    METERS.into_iter().take(count).map(|meter| (meter, quantity(rng))).collect()
}

/// What usage must come to.
#[derive(Clone, Default)]
pub(crate) struct Oracle {
    keys: BTreeMap<UsageKey, RequestStats>,
    quantities: BTreeMap<MeterKey, u128>,
}

impl Oracle {
    pub(crate) fn of<'a>(batches: impl IntoIterator<Item = &'a UsageBatch>) -> Self {
        let mut oracle = Self::default();
        for UsageBatch { entries, quantities, .. } in batches {
            for (key, stats) in entries {
                oracle.add(key.clone(), stats, &[]);
            }
            for (key, milli) in quantities {
                *oracle.quantities.entry(key.clone()).or_default() += milli;
            }
        }
        oracle
    }

    pub(crate) fn add(&mut self, key: UsageKey, stats: &RequestStats, counted: &[(MeterName, Quantity)]) {
        for (meter, quantity) in counted {
            let key = MeterKey { tenant: key.tenant, meter: (*meter).into(), minute: key.minute };
            *self.quantities.entry(key).or_default() += u128::from(quantity.in_thousandths());
        }
        self.keys.entry(key).or_default().merge(stats);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.keys.values().map(|stats| stats.requests).sum()
    }

    /// Fails unless all three rollups hold exactly this.
    pub(crate) async fn check(&self, db: &TestDb) -> Result<()> {
        self.check_minutes(db).await?;
        self.check_meters(db, "usage_hours", "hour").await?;
        self.check_meters(db, "usage_days", "day").await
    }

    async fn check_minutes(&self, db: &TestDb) -> Result<()> {
        let minutes: Vec<String> = self
            .keys
            .iter()
            .map(|(key, stats)| {
                let latency = stats.latency.counts().map(|count| count.to_string()).join(",");
                let RequestStats { requests, compute_micros, ingress_bytes, egress_bytes, .. } = stats;
                format!(
                    "{} {} {} {} {requests} {compute_micros} {ingress_bytes} {egress_bytes} {{{latency}}}",
                    key.tenant.uuid(),
                    key.minute,
                    key.route,
                    key.status.get(),
                )
            })
            .collect();
        let stored = db
            .sql(
                "SELECT format('%s %s %s %s %s %s %s %s %s', tenant_id, extract(epoch FROM minute)::bigint / 60, route, \
                 status_class, requests, compute_micros, ingress_bytes, egress_bytes, latency) \
                 FROM platform.request_minutes ORDER BY tenant_id, minute, route COLLATE \"C\", status_class",
            )
            .await?;
        let by_key = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        let stored = stored.into_iter().flatten().flatten().collect();
        assert_eq!(by_key(stored), by_key(minutes), "request_minutes");
        Ok(())
    }

    async fn check_meters(&self, db: &TestDb, table: &str, unit: &str) -> Result<()> {
        let mut expected: BTreeMap<String, u128> = BTreeMap::new();
        let start = |minute: u32| {
            let start = DateTime::from_timestamp(i64::from(minute) * 60, 0).unwrap();
            start.format(if unit == "hour" { "%F %H" } else { "%F" }).to_string()
        };
        for (MeterKey { tenant, meter, minute }, milli) in &self.quantities {
            *expected.entry(format!("{} {meter} {}", tenant.uuid(), start(*minute))).or_default() += milli;
        }
        for (key, stats) in &self.keys {
            let start = start(key.minute);
            let meters = [
                ("api_requests", u128::from(stats.requests) * 1_000),
                ("compute_ms", u128::from(stats.compute_micros)),
                ("ingress_bytes", u128::from(stats.ingress_bytes) * 1_000),
                ("egress_bytes", u128::from(stats.egress_bytes) * 1_000),
            ];
            for (meter, milli) in meters.into_iter().filter(|(_, milli)| *milli > 0) {
                *expected.entry(format!("{} {meter} {start}", key.tenant.uuid())).or_default() += milli;
            }
        }
        let pattern = if unit == "hour" { "YYYY-MM-DD HH24" } else { "YYYY-MM-DD" };
        let stored = db
                .sql(&format!(
                    "SET TimeZone = 'UTC'; SELECT format('%s %s %s', tenant_id, meter, to_char({unit}, '{pattern}')), \
                     (quantity * 1000)::bigint FROM platform.{table}"
                ))
                .await?;
        let stored: BTreeMap<String, u128> = stored
            .into_iter()
            .map(|row| (row[0].clone().unwrap(), row[1].as_ref().unwrap().parse().unwrap()))
            .collect();
        assert_eq!(stored, expected, "{table}");
        Ok(())
    }
}

pub(crate) fn metrics() -> Metrics {
    Metrics::new().unwrap()
}

pub(crate) fn server(redis: &TestRedis) -> RedisServer {
    RedisServer::new(&redis.url(), None, Duration::from_millis(500), Duration::from_millis(500)).unwrap()
}

/// The server as a test asks it, which a busy machine may keep waiting.
pub(crate) fn busy_server(redis: &TestRedis) -> RedisServer {
    server(redis).with_answer_timeout(Duration::from_secs(30))
}

/// What the worker's job does.
pub(crate) async fn drain_all(db: &TestDb, redis: &TestRedis) -> Result<Drained> {
    let mut connection = busy_server(redis).connect().await?;
    Ok(drain(&mut connection, &db.db()?, &metrics(), &*mac(), DrainOptions::default(), now()).await?)
}

/// Writes an entry as a recorder does, whatever it holds.
pub(crate) async fn add(connection: &mut MultiplexedConnection, batch: &str) -> Result<()> {
    let tag = mac().sign(batch.as_bytes());
    let mut add = redis::cmd("XADD");
    add.arg(STREAM).arg("*").arg("b").arg(batch).arg("m").arg(&tag);
    let _id: String = add.query_async(connection).await?;
    Ok(())
}
