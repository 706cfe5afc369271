//! Change an identity provider.

use bulkhead_db::{
    TenantTx,
    gate::{
        identity_providers,
        revocations::{Revoked, revoke},
    },
    identity_providers::ProviderChange,
};
use bulkhead_domain::{IdentityProviderId, SessionId};
use serde_json::json;

use super::{check_roles, shown};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, IfMatch, IfMatchHeader, Json},
        validation::taken,
    },
    routes::identity_providers::{ProviderResponse, UpdateProviderRequest, described, refuse_making},
};

/// Change an identity provider
///
/// What was accepted from it before is looked at anew within seconds. People keep the roles that they have.
#[utoipa::path(
    patch, path = "/v1/identity-providers/{id}", tag = "identity providers", request_body = UpdateProviderRequest,
    params(("id" = String, Path, description = "The provider's id.", example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c"), IfMatchHeader),
    responses((status = 200, description = "The provider as it is now.", body = ProviderResponse)),
)]
pub(crate) async fn update_identity_provider(
    call: TenantCall,
    Id(id): Id<IdentityProviderId>,
    if_match: IfMatch,
    Json(body): Json<UpdateProviderRequest>,
) -> Result<Answer, ApiError> {
    call.write(async |tx: &mut TenantTx| {
        let current = identity_providers::find(tx, id).await?.ok_or(ApiError::NotFound)?;
        if_match.check(current.version)?;
        refuse_making(body.makes_users.unwrap_or_default())?;
        let next = body.apply(call.state(), &current)?;
        check_roles(tx, &call, Some(&current), Some(&next)).await?;
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
        // Its id stands where the session's stands of what was accepted from it.
        revoke(tx, Revoked::Session(SessionId::from_uuid(id.uuid()))).await?;
        let changes = json!({ "from": described(&current), "to": described(&row) });
        Ok(Written::changed(id, changes, shown(row)?))
    })
    .await
}
