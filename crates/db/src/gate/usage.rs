//! A tenant's own usage, through the views of `gate`, and what its transactions count, through a function of it.
//!
//! Refuses to judge what it reads: a meter that this program has not declared is shown like any other, with the unit that
//! `platform.meters` has for it.

use bigdecimal::BigDecimal;
use bulkhead_domain::metering::{MeterName, Quantity};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    dsl::sum,
    prelude::*,
    sql_types::{Numeric, Text},
};

use crate::{
    engine::{error::DbResult, scope::TenantTx},
    schema::gate::{meters, usage_days, usage_hours},
};

/// How much of one meter was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterTotal {
    /// Of what, as it is stored: perhaps a meter that this program has not declared.
    pub meter: String,
    /// The unit that the database has for the meter; empty when no program has declared it.
    pub unit: String,
    /// How much, in that unit.
    pub quantity: BigDecimal,
}

impl MeterTotal {
    pub(crate) fn of((meter, unit, quantity): (String, Option<String>, Option<BigDecimal>)) -> Self {
        Self { meter, unit: unit.unwrap_or_default(), quantity: quantity.unwrap_or_default() }
    }
}

/// How much of one meter was used in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// When the stretch begins.
    pub start: DateTime<Utc>,
    /// How much.
    pub total: MeterTotal,
}

/// Counts what the caller's transaction does: it is billed when that is committed, and only then. The quantity is in the
/// meter's unit; one that is not whole is refused, with [`DbError::Query`], for a meter of whole things.
///
/// [`DbError::Query`]: crate::DbError::Query
pub async fn count(tx: &mut TenantTx, meter: MeterName, quantity: Quantity) -> DbResult<()> {
    let call = diesel::sql_query("SELECT gate.count_usage($1, $2)")
        .bind::<Text, _>(meter.as_str())
        .bind::<Numeric, _>(BigDecimal::new(quantity.in_thousandths().into(), 3));
    tx.tx.execute(call).await?;
    Ok(())
}

/// The totals of the days from `from` up to, not including, `until`.
pub async fn totals(tx: &mut TenantTx, from: NaiveDate, until: NaiveDate) -> DbResult<Vec<MeterTotal>> {
    let query = usage_days::table
        .left_join(meters::table.on(meters::name.eq(usage_days::meter)))
        .filter(usage_days::day.ge(from))
        .filter(usage_days::day.lt(until))
        .group_by((usage_days::meter, meters::unit))
        .order(usage_days::meter.asc())
        .select((usage_days::meter, meters::unit.nullable(), sum(usage_days::quantity)));
    Ok(tx.tx.load(query).await?.into_iter().map(MeterTotal::of).collect())
}

/// Hour by hour, of one meter or all, from `from` up to, not including, `until`.
pub async fn hours(
    tx: &mut TenantTx,
    meter: Option<MeterName>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> DbResult<Vec<Bucket>> {
    let mut query = usage_hours::table
        .left_join(meters::table.on(meters::name.eq(usage_hours::meter)))
        .filter(usage_hours::hour.ge(from))
        .filter(usage_hours::hour.lt(until))
        .order((usage_hours::hour.asc(), usage_hours::meter.asc()))
        .select((usage_hours::hour, usage_hours::meter, meters::unit.nullable(), usage_hours::quantity))
        .into_boxed();
    if let Some(meter) = meter {
        query = query.filter(usage_hours::meter.eq(meter.as_str()));
    }
    let rows: Vec<(DateTime<Utc>, String, Option<String>, BigDecimal)> = tx.tx.load(query).await?;
    let bucket = |(start, meter, unit, quantity)| Bucket {
        start,
        total: MeterTotal::of((meter, unit, Some(quantity))),
    };
    Ok(rows.into_iter().map(bucket).collect())
}

/// Day by day, of one meter or all, from `from` up to, not including, `until`.
pub async fn days(
    tx: &mut TenantTx,
    meter: Option<MeterName>,
    from: NaiveDate,
    until: NaiveDate,
) -> DbResult<Vec<Bucket>> {
    let mut query = usage_days::table
        .left_join(meters::table.on(meters::name.eq(usage_days::meter)))
        .filter(usage_days::day.ge(from))
        .filter(usage_days::day.lt(until))
        .order((usage_days::day.asc(), usage_days::meter.asc()))
        .select((usage_days::day, usage_days::meter, meters::unit.nullable(), usage_days::quantity))
        .into_boxed();
    if let Some(meter) = meter {
        query = query.filter(usage_days::meter.eq(meter.as_str()));
    }
    let rows: Vec<(NaiveDate, String, Option<String>, BigDecimal)> = tx.tx.load(query).await?;
    let bucket = |(day, meter, unit, quantity): (NaiveDate, _, _, _)| Bucket {
        start: day.and_time(chrono::NaiveTime::MIN).and_utc(),
        total: MeterTotal::of((meter, unit, Some(quantity))),
    };
    Ok(rows.into_iter().map(bucket).collect())
}
