//! Say whether operators may act as the tenant's people.

use bulkhead_db::gate::settings;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::ImpersonationSettingResponse;
use crate::http::{
    answer::Answer,
    call::{TenantCall, Written},
    error::ApiError,
    extract::{Json, RequestBody},
};

/// Whether operators may act as the tenant's people.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutImpersonationRequest {
    /// Whether they may.
    #[schema(example = true)]
    allowed: bool,
}

impl RequestBody for PutImpersonationRequest {}

/// Say whether operators may act as you
///
/// Switched off, it ends within seconds for those who do so now.
#[utoipa::path(
    put, path = "/v1/settings/impersonation", tag = "settings", request_body = PutImpersonationRequest,
    responses((status = 200, description = "The setting as it is now.", body = ImpersonationSettingResponse)),
)]
pub(crate) async fn put_impersonation(
    call: TenantCall,
    Json(body): Json<PutImpersonationRequest>,
) -> Result<Answer, ApiError> {
    let view = ImpersonationSettingResponse { tenant: call.tenant(), allowed: body.allowed };
    let answer = Answer::ok(&view)?;
    call.write(async |tx| {
        let before = settings::impersonation(tx).await?;
        if before == body.allowed {
            return Ok(Written::unchanged(answer));
        }
        settings::allow_impersonation(tx, body.allowed).await?;
        let changes = json!({ "allowed": { "from": before, "to": body.allowed } });
        Ok(Written::changed(call.tenant(), changes, answer))
    })
    .await
}
