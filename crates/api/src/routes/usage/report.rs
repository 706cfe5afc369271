//! A month's usage, for billing.

use actix_web::{HttpRequest, HttpResponse, http::header::ACCEPT, web::Data};
use bigdecimal::BigDecimal;
use bulkhead_db::tenant::usage;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Period, UsageReport, csv};
use crate::{
    error::ApiError,
    extract::{Query, TenantCaller},
    state::AppState,
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

/// Whether the client prefers CSV to JSON. The first of the two that it names wins; quality values are not weighed.
pub(crate) fn wants_csv(request: &HttpRequest) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match (accept.find("text/csv"), accept.find("application/json")) {
        (Some(csv), Some(json)) => csv < json,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Report a month's usage
///
/// One line per meter; `Accept: text/csv` gives the same as CSV.
#[utoipa::path(
    get, path = "/v1/usage/report", tag = "usage", params(UsageReportQuery),
    responses((status = 200, description = "The report.", content(
        (UsageReport = "application/json"),
        (String = "text/csv", example = "tenant,period,as_of,meter,unit,quantity\n"),
    ))),
)]
pub(crate) async fn get_usage_report(
    state: Data<AppState>,
    caller: TenantCaller,
    Query(query): Query<UsageReportQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let period = Period::parse(&query.period)?;
    let as_of = state.clock.now();
    let read = async |tx: &mut _| usage::totals(tx, period.from, period.until).await;
    let totals = state.db.read(caller.tenant, read).await?;
    let quantity = |meter| {
        let found = totals.iter().find(|total| total.meter == meter);
        found.map_or_else(BigDecimal::default, |total| total.quantity.clone())
    };
    let report = UsageReport::new(&caller.tenant.get(), period, as_of, quantity);
    if wants_csv(&request) {
        let file = format!("usage-{period}");
        return csv::respond(&[report], &file);
    }
    Ok(HttpResponse::Ok().json(report))
}
