//! Add an identity provider.

use bulkhead_db::{
    TenantTx,
    gate::identity_providers,
    tenant::caps::{self, Capped},
};

use super::{TOO_MANY, check_roles};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json},
        validation::taken,
    },
    routes::identity_providers::{CreateProviderRequest, ProviderResponse, described, refuse_making},
};

/// Add an identity provider
///
/// Its people are this tenant's: those who are linked (`POST /v1/federated-identities`), and with `creates_users` those whom it
/// vouches for. Its host has to be among those that the platform allows.
#[utoipa::path(
    post, path = "/v1/identity-providers", tag = "identity providers", params(IdempotencyKeyHeader),
    request_body = CreateProviderRequest,
    responses((status = 201, description = "Added.", body = ProviderResponse)),
)]
pub(crate) async fn create_identity_provider(
    call: TenantCall,
    Json(body): Json<CreateProviderRequest>,
) -> Result<Answer, ApiError> {
    refuse_making(body.makes_users)?;
    let mut provider = body.parse(call.state(), call.subject(), call.at())?;
    provider.tenant = Some(call.tenant());
    call.write(async |tx: &mut TenantTx| {
        check_roles(tx, &call, None, Some(&provider)).await?;
        if caps::claim(tx, Capped::IdentityProviders).await?.is_reached() {
            return Err(TOO_MANY);
        }
        identity_providers::insert(tx, &provider).await.map_err(taken("audience of this issuer"))?;
        let (id, changes) = (provider.id, described(&provider));
        let view = ProviderResponse::from(provider.clone());
        let answer = Answer::created(format!("/v1/identity-providers/{id}"), &view)?.version(1);
        Ok(Written::changed(id, changes, answer))
    })
    .await
}
