//! Add an identity provider of the platform.

use bulkhead_db::platform::identity_providers;

use super::check_roles;
use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json},
        validation::taken,
    },
    routes::identity_providers::{CreateProviderRequest, ProviderResponse, described},
};

/// Add an identity provider of the platform
///
/// Its tokens name the tenant that they are for: `custom:tenant_id`, a tenant's id. A tenant takes its word when one of its people
/// has said so (`POST /v1/platform-identity-providers`), and says what the provider's people become there at most.
#[utoipa::path(
    post, path = "/v1/admin/identity-providers", tag = "operators: identity providers", params(IdempotencyKeyHeader),
    request_body = CreateProviderRequest,
    responses((status = 201, description = "Added.", body = ProviderResponse)),
)]
pub(crate) async fn create_platform_identity_provider(
    call: OperatorCall,
    Json(body): Json<CreateProviderRequest>,
) -> Result<Answer, ApiError> {
    let provider = body.parse(call.state(), call.subject(), call.at())?;
    check_roles(call.state().access(), &provider)?;
    call.write(async |tx| {
        identity_providers::insert(tx, &provider).await.map_err(taken("audience of this issuer"))?;
        let (id, changes) = (provider.id, described(&provider));
        let view = ProviderResponse::from(provider.clone());
        let answer = Answer::created(format!("/v1/admin/identity-providers/{id}"), &view)?.version(1);
        Ok(Written::changed(id, changes, answer))
    })
    .await
}
