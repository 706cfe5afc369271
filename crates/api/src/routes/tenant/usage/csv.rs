//! Usage reports as CSV (RFC 4180).

use actix_web::{HttpResponse, HttpResponseBuilder, http::header};
use bytes::Bytes;

use super::{UsageLine, UsageReport};
use crate::http::error::ApiError;

/// The first line. New columns come behind the others, for programs that count them.
const COLUMNS: [&str; 8] = ["tenant", "period", "as_of", "meter", "unit", "quantity", "slug", "name"];

/// Answers with reports as one table.
pub(crate) fn respond(reports: &[UsageReport], file: &str) -> Result<HttpResponse, ApiError> {
    Ok(head(file).body(table(reports, true)?))
}

/// An answer that is a file of this name.
pub(crate) fn head(file: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/csv; charset=utf-8; header=present")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file}.csv\"")));
    response
}

/// The lines of some reports, with the first line of the table or without.
pub(crate) fn table(reports: &[UsageReport], with_columns: bool) -> Result<Bytes, ApiError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if with_columns {
        writer.write_record(COLUMNS).map_err(ApiError::internal)?;
    }
    for report in reports {
        let as_of = report.as_of.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let name = unformulated(&report.name);
        for UsageLine { meter, unit, quantity } in &report.lines {
            let (meter, unit) = (unformulated(meter), unformulated(unit));
            let record =
                [&report.tenant, &report.period, &as_of, &meter, &unit, quantity, &report.slug, &name];
            writer.write_record(record).map_err(ApiError::internal)?;
        }
    }
    writer.into_inner().map(Bytes::from).map_err(|error| ApiError::internal(error.to_string()))
}

/// A text that no spreadsheet takes for a formula: a name, a meter or a unit, which other programs may have written. All other
/// cells are ours (ids, slugs, numbers) and cannot be one.
fn unformulated(text: &str) -> String {
    let begins_one = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if begins_one { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_formula() {
        let written = |text: &str| unformulated(text);
        assert_eq!(written("=HYPERLINK(\"http://x\")"), "'=HYPERLINK(\"http://x\")");
        assert_eq!(
            [written("+1"), written("-1"), written("@x"), written("＝1")],
            ["'+1", "'-1", "'@x", "'＝1"]
        );
        assert_eq!([written("Acme = Co"), written("'x")], ["Acme = Co", "'x"]);
    }
}
