//! Every tenant's month.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use bigdecimal::BigDecimal;
use bulkhead_db::platform::usage;
use bulkhead_domain::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    error::ApiError,
    extract::{OperatorCaller, Query, page_request},
    routes::usage::{Period, UsageReport, csv, report::wants_csv},
    state::AppState,
};

/// Which month, and which page of tenants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AllUsageReportQuery {
    /// The month, UTC.
    #[param(example = "2026-11")]
    period: String,
    /// How many tenants to return, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u16>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of reports.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AllUsageReport {
    /// One report per tenant, whether or not it has used anything.
    data: Vec<UsageReport>,
    /// Where the next page begins; `null` on the last page.
    next_cursor: Option<String>,
}

/// Report every tenant's usage
///
/// One report per tenant, in the order they signed up; `Accept: text/csv` gives the page as CSV, with the next cursor
/// in `X-Next-Cursor`.
#[utoipa::path(
    get, path = "/v1/admin/usage/report", tag = "usage", params(AllUsageReportQuery),
    responses((status = 200, description = "A page of reports.", content(
        (AllUsageReport = "application/json"),
        (String = "text/csv", example = "tenant,period,as_of,meter,unit,quantity\n"),
    ))),
)]
pub(crate) async fn get_all_usage_report(
    state: Data<AppState>,
    caller: OperatorCaller,
    Query(query): Query<AllUsageReportQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let period = Period::parse(&query.period)?;
    let page = page_request(query.limit, query.cursor.as_deref(), TenantId::uuid)?;
    let as_of = state.clock.now();
    let read = async |tx: &mut _| usage::totals_of_all(tx, period.from, period.until, page).await;
    let tenants = state.db.platform_read(caller.authority(), read).await?;
    let next_cursor = tenants.rows.last().filter(|_| tenants.more).map(|totals| totals.tenant.to_string());
    let report = |totals: usage::TenantTotals| {
        let quantity = |meter| {
            let found = totals.quantities.iter().find(|total| total.meter == meter);
            found.map_or_else(BigDecimal::default, |total| total.quantity.clone())
        };
        UsageReport::new(&totals.tenant, period, as_of, quantity)
    };
    let data: Vec<UsageReport> = tenants.rows.into_iter().map(report).collect();
    if wants_csv(&request) {
        let mut response = csv::respond(&data, &format!("usage-{period}"))?;
        if let Some(cursor) = next_cursor.and_then(|cursor| cursor.parse().ok()) {
            response
                .headers_mut()
                .insert(actix_web::http::header::HeaderName::from_static("x-next-cursor"), cursor);
        }
        return Ok(response);
    }
    Ok(HttpResponse::Ok().json(AllUsageReport { data, next_cursor }))
}
