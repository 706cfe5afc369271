//! Change an identity provider of the platform.

use bulkhead_db::{identity_providers::ProviderChange, platform::identity_providers};
use bulkhead_domain::IdentityProviderId;
use serde_json::json;

use super::{NOT_OURS, check_roles, shown};
use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader, Json},
        validation::taken,
    },
    routes::identity_providers::{ProviderResponse, UpdateProviderRequest, described},
};

/// Change an identity provider of the platform
///
/// What was accepted from it before is looked at anew within seconds, in every tenant. Those of tenants are changed by tenants.
#[utoipa::path(
    patch, path = "/v1/admin/identity-providers/{id}", tag = "operators: identity providers",
    request_body = UpdateProviderRequest,
    params(("id" = String, Path, description = "The provider's id.", example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader),
    responses((status = 200, description = "The provider as it is now.", body = ProviderResponse)),
)]
pub(crate) async fn update_platform_identity_provider(
    call: OperatorCall,
    Id(id): Id<IdentityProviderId>,
    if_match: IfMatch,
    Json(body): Json<UpdateProviderRequest>,
) -> Result<Answer, ApiError> {
    call.write(async |tx| {
        let current = identity_providers::find(tx, id).await?.ok_or(ApiError::NotFound)?;
        if_match.check(current.version)?;
        if current.tenant.is_some() {
            return Err(NOT_OURS);
        }
        let next = body.apply(call.state(), &current)?;
        check_roles(call.state().access(), &next)?;
        if next == current {
            return Ok(Written::unchanged(shown(current)?));
        }
        let change = ProviderChange {
            name: &next.name,
            audience: next.audience.as_deref(),
            client_id: next.client_id.as_deref(),
            sealed_client_secret: next.sealed_client_secret.as_deref(),
            settings: &next.settings,
            enabled: next.enabled,
            at: call.at(),
        };
        let changed = identity_providers::update(tx, id, current.version, &change).await;
        let row = changed.map_err(taken("audience of this issuer"))?.ok_or(ApiError::PreconditionFailed)?;
        identity_providers::revoke(tx, &row).await?;
        let changes = json!({ "from": described(&current), "to": described(&row) });
        Ok(Written::changed(id, changes, shown(row)?))
    })
    .await
}
