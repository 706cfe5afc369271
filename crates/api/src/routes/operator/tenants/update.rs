//! Change a tenant's name or plan.

use bulkhead_db::platform::{plans, tenants::TenantChange};
use bulkhead_domain::{TenantId, Text};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::TenantResponse;
use crate::http::{
    answer::Answer,
    call::OperatorCall,
    error::ApiError,
    extract::{Id, IfMatch, IfMatchHeader, Json, RequestBody, present},
};

/// The fields to change; those left out stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateTenantRequest {
    /// The new name.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 200, example = "Acme International")]
    name: Option<String>,
    /// The new plan: `free`, `pro`, `enterprise` or one that the platform has added.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = "enterprise")]
    plan: Option<String>,
}

impl RequestBody for UpdateTenantRequest {}

/// Change a tenant
///
/// A new plan's limits are in force on every node within seconds. A change that leaves everything as it is leaves the
/// version, too.
#[utoipa::path(
    patch, path = "/v1/admin/tenants/{id}", tag = "operators: tenants", request_body = UpdateTenantRequest,
    params(("id" = String, Path, description = "The tenant's id.", example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader),
    responses((status = 200, description = "The tenant as it is now.", body = TenantResponse)),
)]
pub(crate) async fn update_tenant(
    call: OperatorCall,
    Id(id): Id<TenantId>,
    if_match: IfMatch,
    Json(body): Json<UpdateTenantRequest>,
) -> Result<Answer, ApiError> {
    let UpdateTenantRequest { name, plan } = &body;
    if let Some(Err(error)) = name.as_deref().map(str::parse::<Text<200>>) {
        return Err(ApiError::field("/name", error));
    }
    call.write(async |tx| {
        // In the write: a request that is repeated is answered as it was, also when its plan is no more.
        let plan = match plan {
            Some(name) => {
                Some(plans::find(tx, name).await?.map_err(|error| ApiError::field("/plan", error))?)
            }
            None => None,
        };
        let change = TenantChange { name: name.as_deref(), plan: plan.as_ref(), status: None };
        super::change(tx, id, if_match, change, json!({ "name": name, "plan": plan }), call.at()).await
    })
    .await
}
