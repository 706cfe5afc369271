//! What a tenant has used.

pub(crate) mod csv;
mod get;
pub(crate) mod report;

use std::borrow::Cow;

use bigdecimal::BigDecimal;
use bulkhead_db::{gate::usage::MeterTotal, platform::usage::TenantTotals};
use bulkhead_domain::{metering::MeterRegistry, permission};
use chrono::{DateTime, Months, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    error::ApiError,
    operation::{Access, operations},
};

operations! {
    get::get_usage => Access::Tenant(permission::READ_USAGE), [], Page;
    report::get_usage_report => Access::Tenant(permission::READ_USAGE), [];
}

/// A tenant's usage in one month.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageReport {
    /// Whose usage it is.
    #[schema(example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    pub(crate) tenant: String,
    /// The name that the tenant logs in with, or did before it was purged.
    #[schema(example = "acme")]
    pub(crate) slug: String,
    /// The name that people read.
    #[schema(example = "Acme Corporation")]
    pub(crate) name: String,
    /// The month, UTC.
    #[schema(example = "2026-11")]
    pub(crate) period: String,
    /// When the figures were read: everything confirmed until then is in them.
    pub(crate) as_of: DateTime<Utc>,
    /// One line per meter: every one that is counted here, used or not, then, by name, every other that was used.
    pub(crate) lines: Vec<UsageLine>,
}

/// How much of one meter was used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageLine {
    /// The meter: `api_requests`, `compute_ms`, `ingress_bytes`, `egress_bytes`, or one of an operation's own.
    #[schema(value_type = String, example = "api_requests")]
    pub(crate) meter: Cow<'static, str>,
    /// The unit; empty when it is not known.
    #[schema(value_type = String, example = "request")]
    pub(crate) unit: Cow<'static, str>,
    /// How much: an exact decimal, written as a string.
    #[schema(value_type = String, example = "48213")]
    pub(crate) quantity: String,
}

impl UsageReport {
    /// A report with a line for every meter of `meters`, in their order, and behind them for every other that was used.
    pub(crate) fn new(
        totals: TenantTotals,
        period: Period,
        as_of: DateTime<Utc>,
        meters: &MeterRegistry,
    ) -> Self {
        let TenantTotals { tenant, slug, name, mut quantities } = totals;
        let mut lines: Vec<UsageLine> = Vec::with_capacity(meters.all().len());
        for meter in meters.all() {
            let (name, unit) = (meter.name().as_str(), meter.unit());
            let used = quantities.iter().position(|total| total.meter == name);
            let used = used.map(|place| quantities.remove(place));
            let quantity = used.map_or_else(|| "0".to_owned(), |total| plain(&total.quantity));
            lines.push(UsageLine { meter: name.into(), unit: unit.into(), quantity });
        }
        let other = |MeterTotal { meter, unit, quantity }| {
            let quantity = plain(&quantity);
            UsageLine { meter: meter.into(), unit: unit.into(), quantity }
        };
        lines.extend(quantities.into_iter().map(other));
        Self { tenant: tenant.to_string(), slug, name, period: period.to_string(), as_of, lines }
    }
}

/// A decimal without exponent or needless zeros.
pub(crate) fn plain(quantity: &BigDecimal) -> String {
    quantity.normalized().to_plain_string()
}

/// A billing month, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// Its first day.
    pub(crate) from: NaiveDate,
    /// The first day after it.
    pub(crate) until: NaiveDate,
}

impl Period {
    /// Reads `2026-11`.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let refused = || ApiError::InvalidParameter {
            name: "period",
            detail: "must be a month like 2026-11".to_owned(),
        };
        // chrono would also read signs and blanks.
        if text.len() != 7 || !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(refused());
        }
        let from = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").map_err(|_bad| refused())?;
        let until = from.checked_add_months(Months::new(1)).ok_or_else(refused)?;
        Ok(Self { from, until })
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.from.format("%Y-%m"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_whole_month() {
        let december = Period::parse("2026-12").unwrap();
        assert_eq!(december.until, NaiveDate::from_ymd_opt(2027, 1, 1).unwrap());
        assert_eq!(december.to_string(), "2026-12");
        for bad in [
            "",
            "2026",
            "2026-13",
            "2026-1",
            "26-11",
            "2026-11-01",
            "+026-11",
            "-026-11",
            " 026-11",
            "２０２６",
        ] {
            assert!(Period::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quantities_are_written_in_full() {
        let written = |text: &str| plain(&text.parse().unwrap());
        assert_eq!([written("12.500"), written("1000"), written("0.000")], ["12.5", "1000", "0"]);
    }
}
