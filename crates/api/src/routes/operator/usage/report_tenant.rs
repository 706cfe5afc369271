//! One tenant's month.

use actix_web::{HttpRequest, HttpResponse};
use bulkhead_db::platform::{
    tenants,
    usage::{self, TenantTotals},
};
use bulkhead_domain::TenantId;

use crate::{
    http::{
        call::OperatorCall,
        error::ApiError,
        extract::{Id, Query},
    },
    routes::tenant::usage::{
        Period, UsageReport, csv,
        report::{UsageReportQuery, wants_csv},
    },
};

/// Report a tenant's usage
///
/// One line per meter; `Accept: text/csv` gives the same as CSV.
#[utoipa::path(
    get, path = "/v1/admin/tenants/{id}/usage/report", tag = "operators: usage",
    params(("id" = String, Path, description = "The tenant's id.", example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c"), UsageReportQuery),
    responses((status = 200, description = "The report.", content(
        (UsageReport = "application/json"),
        (String = "text/csv", example = "tenant,period,as_of,meter,unit,quantity,slug,name\n"),
    ))),
)]
pub(crate) async fn get_tenant_usage_report(
    call: OperatorCall,
    Id(id): Id<TenantId>,
    Query(query): Query<UsageReportQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let period = Period::parse(&query.period)?;
    let as_of = call.at();
    let read = async |tx: &mut _| {
        let (tenant, purge) = tenants::find_with_purge(tx, id).await?.ok_or(ApiError::NotFound)?;
        let slug = purge.map_or(tenant.slug, |purge| purge.slug);
        let quantities = usage::totals(tx, id, period.from, period.until).await?;
        Ok::<_, ApiError>(TenantTotals { tenant: id, slug, name: tenant.name, quantities })
    };
    let totals = call.read(read).await?;
    let report = UsageReport::new(totals, period, as_of, &call.state().meters);
    if wants_csv(&request) {
        let file = format!("usage-{id}-{period}");
        return csv::respond(&[report], &file);
    }
    Ok(HttpResponse::Ok().json(report))
}
