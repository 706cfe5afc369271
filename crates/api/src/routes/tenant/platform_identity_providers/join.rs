//! Take the word of one of the platform's identity providers.

use bulkhead_auth::grants::Hold;
use bulkhead_db::{
    TenantTx,
    gate::{
        identity_providers,
        revocations::{Revoked, revoke},
    },
};
use bulkhead_domain::{IdentityProviderId, RoleName, SessionId, permission::WRITE_IDENTITY_PROVIDERS};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::PlatformProviderResponse;
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json, RequestBody},
        validation::Fields,
    },
    routes::tenant::{grants, lock_caller, refused},
};

/// What the provider's people become.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinRequest {
    /// The provider: its id, as the operator of the platform tells it.
    #[schema(value_type = String, example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    identity_provider_id: IdentityProviderId,
    /// What they become whose token says nothing that the provider maps.
    #[schema(example = "read_only")]
    default_role: String,
    /// The most that anybody becomes. You can give what your own role holds.
    #[schema(example = "developer")]
    max_role: String,
}

impl RequestBody for JoinRequest {}

/// Take a platform's provider's word
///
/// From then on its people are let in whose token names this tenant. It may be said again, with other roles.
#[utoipa::path(
    post, path = "/v1/platform-identity-providers", tag = "identity providers", params(IdempotencyKeyHeader),
    request_body = JoinRequest,
    responses((status = 200, description = "Its word is taken.", body = PlatformProviderResponse)),
)]
pub(crate) async fn join_identity_provider(
    call: TenantCall,
    Json(body): Json<JoinRequest>,
) -> Result<Answer, ApiError> {
    let id = body.identity_provider_id;
    let mut fields = Fields::default();
    let access = call.state().access();
    let default = fields.take("/default_role", access.read_role(&body.default_role));
    let most = fields.take("/max_role", access.read_role(&body.max_role));
    fields.finish()?;
    let roles: (RoleName, RoleName) =
        default.zip(most).ok_or_else(|| ApiError::internal("roles that were refused"))?;
    let unknown = || ApiError::field("/identity_provider_id", "must be the id of one that exists");
    call.write(async |tx: &mut TenantTx| {
        let before = identity_providers::find_shared(tx, id).await?.ok_or_else(unknown)?;
        let own = lock_caller(tx, &call).await?;
        let named: Vec<RoleName> =
            [roles.0, roles.1].into_iter().chain(before.joined.map(|(_, most, _)| most)).collect();
        let grants = grants(tx, &call, own, WRITE_IDENTITY_PROVIDERS, &named, Hold::Give).await?;
        if let Some((_, most, _)) = before.joined {
            grants.may_take(most).map_err(refused)?;
        }
        grants.may_give(roles.0).map_err(refused)?;
        grants.may_give(roles.1).map_err(refused)?;
        if !grants.is_within(roles.0, roles.1) {
            return Err(ApiError::field("/max_role", format!("does not hold all that {} holds", roles.0)));
        }
        identity_providers::join(tx, id, roles, call.subject(), call.at()).await?;
        revoke(tx, Revoked::Session(SessionId::from_uuid(id.uuid()))).await?;
        let after = identity_providers::find_shared(tx, id).await?.ok_or(ApiError::NotFound)?;
        let changes = json!({ "default_role": roles.0, "max_role": roles.1 });
        Ok(Written::changed(id, changes, Answer::ok(&PlatformProviderResponse::from(after))?))
    })
    .await
}
