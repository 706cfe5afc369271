//! Usage reports as CSV (RFC 4180).

use actix_web::{HttpResponse, http::header};

use super::UsageReport;
use crate::error::ApiError;

/// Writes reports as one table. Every cell is ours (ids, meters, units, numbers), so none can be read as a formula by
/// a spreadsheet.
pub(crate) fn respond(reports: &[UsageReport], file: &str) -> Result<HttpResponse, ApiError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["tenant", "period", "as_of", "meter", "unit", "quantity"])
        .map_err(ApiError::internal)?;
    for report in reports {
        let as_of = report.as_of.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        for line in &report.lines {
            let meter = line.meter.as_str();
            let record = [&report.tenant, &report.period, &as_of, meter, line.unit, line.quantity.as_str()];
            writer.write_record(record).map_err(ApiError::internal)?;
        }
    }
    let body = writer.into_inner().map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8; header=present")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file}.csv\"")))
        .body(body))
}
