//! Take a slice of the operators' audit log away.

use actix_web::{HttpRequest, HttpResponse};

use crate::{
    http::{call::OperatorCall, error::ApiError, extract::Query},
    routes::tenant::audit::slice::{self, SliceQuery},
};

/// Export the operators' audit log
///
/// A file as `export_audit` makes it of a tenant's.
#[utoipa::path(
    get, path = "/v1/admin/audit/export", tag = "operators: audit", params(SliceQuery),
    responses((status = 200, description = "The slice.", content_type = "application/x-ndjson", body = String)),
)]
pub(crate) async fn export_platform_audit(
    call: OperatorCall,
    Query(query): Query<SliceQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    slice::respond(call, &query, &request).await
}
