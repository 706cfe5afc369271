//! What is added to the rollups: of minutes, hours and days, of many batches at once.
//!
//! Refuses sums that a row cannot hold: the transaction fails, and adds nothing.

use std::collections::BTreeMap;

use bigdecimal::{BigDecimal, num_bigint::BigInt as Whole};
use bulkhead_domain::{
    TenantId,
    metering::{LatencyHistogram, RequestStats, UsageBatch},
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{
    Array, BigInt, Date, Integer, Numeric, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};

use crate::engine::{
    error::{DbError, DbResult},
    scope::PlatformTx,
};

/// Many batches folded into one addition. The keys are in order, so that all transactions lock rows in the same order.
#[derive(Default)]
pub(super) struct Rollup<'a> {
    minutes: BTreeMap<(TenantId, u32, &'a str, u8), RequestStats>,
    /// By hour since the epoch; exact, in thousandths of the meter's unit.
    hours: BTreeMap<(TenantId, &'a str, u32), u128>,
}

impl<'a> Rollup<'a> {
    /// Folds these batches. Fails when they count more than can be stored.
    pub(super) fn of(batches: impl Iterator<Item = &'a UsageBatch>) -> DbResult<Self> {
        let mut rollup = Self::default();
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
    pub(super) fn add(&mut self, tenant: TenantId, meter: &'a str, hour: u32, milli: u128) -> DbResult<()> {
        if milli > 0 {
            let sum = self.hours.entry((tenant, meter, hour)).or_default();
            *sum = sum.checked_add(milli).ok_or_else(too_much)?;
        }
        Ok(())
    }

    /// The histograms travel as one flat array, and each row cuts its own piece out of it.
    pub(super) async fn add_minutes(&self, tx: &mut PlatformTx) -> DbResult<()> {
        let counts = |field: fn(&RequestStats) -> u64| -> Vec<i64> {
            self.minutes.values().map(|stats| clamped(field(stats))).collect()
        };
        let latencies: Vec<i64> = self
            .minutes
            .values()
            .flat_map(|stats| stats.latency.counts().iter().copied().map(clamped).collect::<Vec<_>>())
            .collect();
        let statement = diesel::sql_query(include_str!("add_minutes.sql"))
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
    pub(super) async fn add_hours_and_days(&self, tx: &mut PlatformTx) -> DbResult<()> {
        let mut days: BTreeMap<(TenantId, &str, NaiveDate), u128> = BTreeMap::new();
        for ((tenant, meter, hour), milli) in &self.hours {
            let sum = days.entry((*tenant, *meter, start(*hour, 3_600).date_naive())).or_default();
            *sum = sum.checked_add(*milli).ok_or_else(too_much)?;
        }
        let statement = diesel::sql_query(include_str!("add_hours_and_days.sql"))
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
