//! A month's usage, for billing.

use actix_web::{HttpRequest, HttpResponse};
use bulkhead_db::{
    gate::{profile, usage},
    platform::usage::TenantTotals,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Period, UsageReport, csv};
use crate::http::{
    call::TenantCall,
    error::ApiError,
    extract::{Query, preferred},
};

/// Which month, and in which form.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageReportQuery {
    /// The month, UTC.
    #[param(example = "2026-11")]
    pub(crate) period: String,
}

/// Whether the client prefers CSV to JSON.
pub(crate) fn wants_csv(request: &HttpRequest) -> bool {
    preferred(request.headers(), &["application/json", CSV]) == CSV
}

const CSV: &str = "text/csv";

/// Report a month's usage
///
/// One line per meter; `Accept: text/csv` gives the same as CSV.
#[utoipa::path(
    get, path = "/v1/usage/report", tag = "usage", params(UsageReportQuery),
    responses((status = 200, description = "The report.", content(
        (UsageReport = "application/json"),
        (String = "text/csv", example = "tenant,period,as_of,meter,unit,quantity,slug,name\n"),
    ))),
)]
pub(crate) async fn get_usage_report(
    call: TenantCall,
    Query(query): Query<UsageReportQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let period = Period::parse(&query.period)?;
    let as_of = call.at();
    let read = async |tx: &mut _| {
        let profile = profile::find(tx).await?.ok_or(ApiError::NotFound)?;
        let quantities = usage::totals(tx, period.from, period.until).await?;
        Ok::<_, ApiError>(TenantTotals {
            tenant: profile.id,
            slug: profile.slug,
            name: profile.name,
            quantities,
        })
    };
    let totals = call.snapshot(read).await?;
    let report = UsageReport::new(totals, period, as_of, &call.state().meters);
    if wants_csv(&request) {
        let file = format!("usage-{period}");
        return csv::respond(&[report], &file);
    }
    Ok(HttpResponse::Ok().json(report))
}
