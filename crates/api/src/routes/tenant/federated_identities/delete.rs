//! Unlink an account.

use bulkhead_auth::grants::Hold;
use bulkhead_db::{
    TenantTx,
    gate::revocations::{Revoked, revoke},
    tenant::{federated_identities, users::Locked},
};
use bulkhead_domain::{FederatedIdentityId, permission::WRITE_IDENTITY_PROVIDERS};
use serde_json::json;

use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::Id,
    },
    routes::tenant::{grants, lock_caller, refused, users::update::locked},
};

/// Unlink an account
///
/// Its holder is nobody here any more, within seconds, and the person's sessions end. With `creates_users` they may come back as
/// somebody new. Where the person was removed before, this lets them come back.
#[utoipa::path(
    delete, path = "/v1/federated-identities/{id}", tag = "identity providers",
    params(("id" = String, Path, description = "The identity's id.", example = "fid_01jd3e2x6m7k9v4q8t5b2n0c1c")),
    responses((status = 204, description = "Unlinked.")),
)]
pub(crate) async fn delete_federated_identity(
    call: TenantCall,
    Id(id): Id<FederatedIdentityId>,
) -> Result<Answer, ApiError> {
    call.write(async |tx: &mut TenantTx| {
        let identity = federated_identities::get(tx, id).await?.ok_or(ApiError::NotFound)?;
        let (role, own) = match identity.user {
            Some(user) => {
                let (Locked { user: person, .. }, own) = locked(tx, &call, user).await?;
                (Some(person.role), own)
            }
            None => (None, lock_caller(tx, &call).await?),
        };
        let named: Vec<_> = role.into_iter().collect();
        let grants = grants(tx, &call, own, WRITE_IDENTITY_PROVIDERS, &named, Hold::Give).await?;
        if let Some(role) = role {
            grants.may_take(role).map_err(refused)?;
        }
        if !federated_identities::delete(tx, id).await? {
            return Err(ApiError::NotFound);
        }
        if let Some(user) = identity.user {
            revoke(tx, Revoked::User(user)).await?;
        }
        let changes = json!({ "identity_provider_id": identity.provider, "subject": identity.subject, "user_id": identity.user });
        Ok(Written::changed(id, changes, Answer::no_content()))
    })
    .await
}
