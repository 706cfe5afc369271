//! Who of an identity provider's people is who of the tenant's.

mod create;
mod delete;
mod list;

use bulkhead_db::tenant::federated_identities::FederatedIdentity;
use bulkhead_domain::{FederatedIdentityId, IdentityProviderId, UserId, permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::not_grantable;
use crate::http::{
    error::ApiError,
    operation::{Access, operations},
};

operations! {
    list::list_federated_identities => Access::Tenant(permission::READ_IDENTITY_PROVIDERS), [], List;
    create::create_federated_identity => Access::Tenant(permission::WRITE_IDENTITY_PROVIDERS), [
        not_grantable(), ApiError::Taken { what: "subject" },
    ];
    delete::delete_federated_identity => Access::Tenant(permission::WRITE_IDENTITY_PROVIDERS), [not_grantable()];
}

/// A person's account at an identity provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FederatedIdentityResponse {
    /// Its id.
    #[schema(value_type = String, example = "fid_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: FederatedIdentityId,
    /// The provider.
    #[schema(value_type = String, example = "idp_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    identity_provider_id: IdentityProviderId,
    /// The `sub` there.
    #[schema(example = "248289761001")]
    subject: String,
    /// The person; null when they were removed. The account is then let in as nobody until this is removed, too.
    #[schema(value_type = Option<String>, example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    user_id: Option<UserId>,
    /// When it was linked.
    created_at: DateTime<Utc>,
    /// Who has linked it: the person's own id when their first log-in did.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    created_by: String,
}

impl From<FederatedIdentity> for FederatedIdentityResponse {
    fn from(row: FederatedIdentity) -> Self {
        let FederatedIdentity { id, provider, subject, user, created_at, created_by } = row;
        Self { id, identity_provider_id: provider, subject, user_id: user, created_at, created_by }
    }
}
