//! Take a slice of the audit log away.

use actix_web::{HttpRequest, HttpResponse};

use super::slice::{self, SliceQuery};
use crate::http::{call::TenantCall, error::ApiError, extract::Query};

/// Export the audit log
///
/// A file that an auditor verifies without us, and years later: a line of JSON for each thing. The first line says which slice it is and
/// what the hash before it was; then comes each entry with its hash, in the order in which they were committed; the last line is a
/// signature over all bytes before it. The public keys are at `/.well-known/audit-keys.json`, which keeps those that sign no more.
/// `bulkhead audit verify-export FILE --keys KEYS` verifies a file; what a hash is made of, and a verifier of seventy lines of Python,
/// stand in `crates/db/AUDIT.md`.
///
/// Entries are chained some seconds after they were made, so the last seconds before now are not in it. A slice has no gaps: some
/// entries of shortly before and after may be in it, because the order of commits is not quite the order of times.
#[utoipa::path(
    get, path = "/v1/audit/export", tag = "audit", params(SliceQuery),
    responses((status = 200, description = "The slice.", content_type = "application/x-ndjson", body = String)),
)]
pub(crate) async fn export_audit(
    call: TenantCall,
    Query(query): Query<SliceQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    slice::respond(call, &query, &request).await
}
