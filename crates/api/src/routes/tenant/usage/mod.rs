//! What a tenant has used.

pub(crate) mod csv;
mod get;
pub(crate) mod report;

use bigdecimal::BigDecimal;
use bulkhead_db::platform::usage::TenantTotals;
use bulkhead_domain::{permission, metering::Meter};
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
    #[schema(example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1d")]
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
    /// One line per meter, every meter in every report.
    pub(crate) lines: Vec<UsageLine>,
}

/// How much of one meter was used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageLine {
    /// `api_requests`, `compute_ms`, `ingress_bytes` or `egress_bytes`.
    #[schema(value_type = String, example = "api_requests")]
    pub(crate) meter: Meter,
    /// The unit.
    #[schema(example = "request")]
    pub(crate) unit: &'static str,
    /// How much: an exact decimal, written as a string.
    #[schema(value_type = String, example = "48213")]
    pub(crate) quantity: String,
}

impl UsageReport {
    /// A report with a line for every meter, in a fixed order.
    pub(crate) fn new(totals: TenantTotals, period: Period, as_of: DateTime<Utc>) -> Self {
        let TenantTotals { tenant, slug, name, quantities } = totals;
        let used = |meter| quantities.iter().find(|total| total.meter == meter);
        let line = |meter: Meter| {
            let quantity = used(meter).map_or_else(|| "0".to_owned(), |total| plain(&total.quantity));
            UsageLine { meter, unit: meter.unit(), quantity }
        };
        let lines = Meter::ALL.into_iter().map(line).collect();
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
