//! Link a person to an account at an identity provider.

use bulkhead_auth::grants::Hold;
use bulkhead_db::{
    TenantTx,
    gate::identity_providers,
    tenant::{
        federated_identities::{self, FederatedIdentity, NewIdentity},
        users::Locked,
    },
};
use bulkhead_domain::{
    FederatedIdentityId, IdentityProviderId, UserId, permission::WRITE_IDENTITY_PROVIDERS,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::FederatedIdentityResponse;
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json, RequestBody},
        validation::{Fields, taken},
    },
    routes::tenant::{grants, refused, users::update::locked},
};

/// A person and an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkRequest {
    /// The provider: the tenant's own, or one of the platform's.
    #[schema(value_type = String, example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    identity_provider_id: IdentityProviderId,
    /// The `sub` of the account, as the provider shows it. An e-mail address is none.
    #[schema(min_length = 1, max_length = 255, example = "248289761001")]
    subject: String,
    /// The person.
    #[schema(value_type = String, example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    user_id: UserId,
}

impl RequestBody for LinkRequest {}

/// Link a person to an account
///
/// Who holds the account is this person from then on. You can link people whose role you could give.
#[utoipa::path(
    post, path = "/v1/federated-identities", tag = "identity providers", params(IdempotencyKeyHeader), request_body = LinkRequest,
    responses((status = 201, description = "Linked.", body = FederatedIdentityResponse)),
)]
pub(crate) async fn create_federated_identity(
    call: TenantCall,
    Json(body): Json<LinkRequest>,
) -> Result<Answer, ApiError> {
    let mut fields = Fields::default();
    fields.text("/subject", &body.subject, 1, 255);
    fields.finish()?;
    let (provider, user) = (body.identity_provider_id, body.user_id);
    call.write(async |tx: &mut TenantTx| {
        let (Locked { user: person, .. }, own) =
            locked(tx, &call, user).await.map_err(|error| match error {
                ApiError::NotFound => ApiError::field("/user_id", "must be the id of one that exists"),
                other => other,
            })?;
        let role = person.role;
        let grants = grants(tx, &call, own, WRITE_IDENTITY_PROVIDERS, &[role], Hold::Give).await?;
        grants.may_take(role).map_err(refused)?;
        let is_known = identity_providers::find(tx, provider).await?.is_some()
            || identity_providers::find_shared(tx, provider).await?.is_some_and(|one| one.joined.is_some());
        if !is_known {
            return Err(ApiError::field("/identity_provider_id", "must be the id of one that exists"));
        }
        let (id, at) = (FederatedIdentityId::mint(call.at()), call.at());
        let (subject, created_by) = (body.subject.as_str(), call.subject());
        let new = NewIdentity { id, provider, subject, user, created_by, at };
        federated_identities::insert(tx, &new).await.map_err(taken("subject"))?;
        let row = FederatedIdentity {
            id,
            provider,
            subject: body.subject.clone(),
            user: Some(user),
            created_at: at,
            created_by: created_by.to_owned(),
        };
        let changes = json!({ "identity_provider_id": provider, "subject": subject, "user_id": user });
        let answer =
            Answer::created(format!("/v1/federated-identities/{id}"), &FederatedIdentityResponse::from(row))?;
        Ok(Written::changed(id, changes, answer))
    })
    .await
}
