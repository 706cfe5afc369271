//! Every tenant's month.

use actix_web::{
    HttpRequest, HttpResponse, Responder as _,
    http::{Method, Version},
};
use bulkhead_db::platform::usage;
use bulkhead_domain::TenantId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::export;
use crate::{
    http::{
        call::OperatorCall,
        error::ApiError,
        extract::{PageResponse, Query, page_limit, page_request},
    },
    routes::tenant::usage::{Period, UsageReport, report::wants_csv},
};

/// Which month, and which page of tenants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AllUsageReportQuery {
    /// The month, UTC.
    #[param(example = "2026-11")]
    period: String,
    /// How many tenants to return, 1 to 100; not with CSV.
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[serde(default, deserialize_with = "page_limit")]
    limit: Option<u16>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Report every tenant's usage
///
/// One report per tenant, whether or not it has used anything, in the order of the tenants' ids. `Accept: text/csv` gives
/// all of them in one file, read in one moment; it is whole when its transfer ends as it should (a transfer that breaks off
/// is not). A name that a spreadsheet would take for a formula has an apostrophe in front there.
#[utoipa::path(
    get, path = "/v1/admin/usage/report", tag = "operators: usage", params(AllUsageReportQuery),
    responses((status = 200, description = "A page of reports, or a file of all.", content(
        (PageResponse<UsageReport> = "application/json"),
        (String = "text/csv", example = "tenant,period,as_of,meter,unit,quantity,slug,name\n"),
    ))),
)]
pub(crate) async fn get_all_usage_report(
    call: OperatorCall,
    Query(query): Query<AllUsageReportQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let period = Period::parse(&query.period)?;
    let page = page_request(query.limit, query.cursor.as_deref(), TenantId::uuid)?;
    let as_of = call.at();
    if wants_csv(&request) {
        let cut = query.limit.map(|_| "limit").or(query.cursor.map(|_| "cursor"));
        return match cut {
            Some(name) => {
                let detail = "cannot be given with text/csv: the file has every tenant".to_owned();
                Err(ApiError::InvalidParameter { name, detail })
            }
            None if request.version() < Version::HTTP_11 => {
                let detail = "must be HTTP/1.1 or newer for text/csv: an older client, or proxy, cannot tell a file that \
                              was cut off from a whole one";
                Err(ApiError::InvalidParameter { name: "The request", detail: detail.to_owned() })
            }
            None if request.method() == Method::HEAD => Ok(export::head(period)),
            None => export::respond(&call, period, as_of).await,
        };
    }
    let read = async |tx: &mut _| usage::totals_of_all(tx, period.from, period.until, page).await;
    let tenants = call.read(read).await?;
    let report = |totals| UsageReport::new(totals, period, as_of, &call.state().meters);
    Ok(call.page(tenants, |totals| totals.tenant, report)?.respond_to(&request))
}
