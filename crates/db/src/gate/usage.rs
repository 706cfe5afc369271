//! A tenant's own usage, through the views of `gate`.

use bigdecimal::BigDecimal;
use bulkhead_domain::metering::Meter;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{dsl::sum, prelude::*};

use crate::{
    engine::{
        error::{DbError, DbResult},
        scope::TenantTx,
    },
    schema::gate::{usage_days, usage_hours},
};

/// How much of one meter was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// Of what.
    pub meter: Meter,
    /// How much, in the meter's unit.
    pub quantity: BigDecimal,
}

/// How much of one meter was used in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Of what.
    pub meter: Meter,
    /// When the stretch begins.
    pub start: DateTime<Utc>,
    /// How much, in the meter's unit.
    pub quantity: BigDecimal,
}

/// The totals of the days from `from` up to, not including, `until`.
pub async fn totals(tx: &mut TenantTx, from: NaiveDate, until: NaiveDate) -> DbResult<Vec<Quantity>> {
    let query = usage_days::table
        .filter(usage_days::day.ge(from))
        .filter(usage_days::day.lt(until))
        .group_by(usage_days::meter)
        .order(usage_days::meter.asc())
        .select((usage_days::meter, sum(usage_days::quantity)));
    let rows: Vec<(String, Option<BigDecimal>)> = tx.tx.load(query).await?;
    rows.into_iter()
        .map(|(meter, quantity)| {
            Ok(Quantity { meter: read_meter(&meter)?, quantity: quantity.unwrap_or_default() })
        })
        .collect()
}

/// Hour by hour, of one meter or all, from `from` up to, not including, `until`.
pub async fn hours(
    tx: &mut TenantTx,
    meter: Option<Meter>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> DbResult<Vec<Bucket>> {
    let mut query = usage_hours::table
        .filter(usage_hours::hour.ge(from))
        .filter(usage_hours::hour.lt(until))
        .order((usage_hours::hour.asc(), usage_hours::meter.asc()))
        .select((usage_hours::meter, usage_hours::hour, usage_hours::quantity))
        .into_boxed();
    if let Some(meter) = meter {
        query = query.filter(usage_hours::meter.eq(meter.as_str()));
    }
    let rows: Vec<(String, DateTime<Utc>, BigDecimal)> = tx.tx.load(query).await?;
    rows.into_iter()
        .map(|(meter, start, quantity)| Ok(Bucket { meter: read_meter(&meter)?, start, quantity }))
        .collect()
}

/// Day by day, of one meter or all, from `from` up to, not including, `until`.
pub async fn days(
    tx: &mut TenantTx,
    meter: Option<Meter>,
    from: NaiveDate,
    until: NaiveDate,
) -> DbResult<Vec<Bucket>> {
    let mut query = usage_days::table
        .filter(usage_days::day.ge(from))
        .filter(usage_days::day.lt(until))
        .order((usage_days::day.asc(), usage_days::meter.asc()))
        .select((usage_days::meter, usage_days::day, usage_days::quantity))
        .into_boxed();
    if let Some(meter) = meter {
        query = query.filter(usage_days::meter.eq(meter.as_str()));
    }
    let rows: Vec<(String, NaiveDate, BigDecimal)> = tx.tx.load(query).await?;
    rows.into_iter()
        .map(|(meter, day, quantity)| {
            let start = day.and_time(chrono::NaiveTime::MIN).and_utc();
            Ok(Bucket { meter: read_meter(&meter)?, start, quantity })
        })
        .collect()
}

fn read_meter(text: &str) -> DbResult<Meter> {
    text.parse().map_err(|_unknown| DbError::Unreadable(format!("unknown meter {text}")))
}
