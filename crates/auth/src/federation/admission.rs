//! A verified subject becomes a person of the tenant: the one it is linked to, or a new one where the provider makes people.
//!
//! A new person needs an address that the issuer has seen to be theirs, and that nobody of the tenant has. One whose address is
//! taken is not that person: an administrator may say that they are, by linking the subject.

use bulkhead_db::{
    Db, DbError, TenantTx,
    identity_providers::IdentityProvider,
    tenant::{
        audit::{self, Entry},
        caps::{self, Capped},
        federated_identities::{self as identities, Linked, NewIdentity},
        users,
    },
};
use bulkhead_domain::{
    AccessRegistry, Email, FederatedIdentityId, IdentityProviderId, Proven, RoleName, TenantId, UserId,
};
use bulkhead_oidc::Claims;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    NO_PASSWORD,
    roles::{self, Bounds},
};
use crate::authenticator::AuthError;

/// What a subject is to the tenant.
pub(crate) struct Newcomer<'a> {
    pub(crate) access: &'a AccessRegistry,
    pub(crate) provider: &'a IdentityProvider,
    pub(crate) bounds: Bounds,
    pub(crate) claims: &'a Claims,
    /// The request with which they come, for the audit log.
    pub(crate) request_id: &'a str,
    /// From where, if the network tells.
    pub(crate) address: Option<&'a str>,
    pub(crate) now: DateTime<Utc>,
}

/// Why somebody whom the issuer vouches for is nobody of the tenant's. For the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdmitted {
    #[error("the subject's person was removed")]
    Removed,
    #[error("the subject is linked to nobody, and the provider makes no people")]
    Unknown,
    #[error("the token has no address that the issuer has verified")]
    NoAddress,
    #[error("somebody of the tenant has the address")]
    AddressTaken,
    #[error("the tenant has as many people as its plan allows")]
    Full,
    #[error("the person must have a second factor, which the provider is not known to ask for")]
    NoSecondFactor,
    #[error("none of the roles that it could have fits the provider's highest role")]
    NoRole,
}

impl Newcomer<'_> {
    /// Adds the person and links them. Of any number of first requests of one subject, one adds it and the others find it.
    pub(crate) async fn admit(
        &self,
        db: &Db,
        tenant: Proven<TenantId>,
    ) -> Result<Result<(UserId, RoleName), NotAdmitted>, AuthError> {
        if !self.provider.settings.creates_users {
            return Ok(Err(NotAdmitted::Unknown));
        }
        // The address of the id token's owner, if the issuer vouches for it; never one that the person has only written down.
        let verified = self.claims.email.as_deref().filter(|_| self.claims.email_verified);
        let Some(email) = verified.and_then(|text| text.parse::<Email>().ok()) else {
            return Ok(Err(NotAdmitted::NoAddress));
        };
        let add = async |tx: &mut TenantTx| self.add(tx, &email).await;
        match db.write::<_, DbError>(tenant, add).await {
            Err(DbError::AlreadyExists { .. }) => {}
            added => return Ok(added?),
        }
        // Another request has added the same subject, or somebody else has the address.
        let (provider, subject) = (self.provider.id, self.claims.sub.as_str());
        let look = async |tx: &mut TenantTx| identities::find(tx, provider, subject).await;
        Ok(match db.read::<_, DbError>(tenant, look).await? {
            Some(Linked::To(user, role)) => Ok((user, role)),
            Some(Linked::Removed) => Err(NotAdmitted::Removed),
            None => Err(NotAdmitted::AddressTaken),
        })
    }

    async fn add(
        &self,
        tx: &mut TenantTx,
        email: &Email,
    ) -> Result<Result<(UserId, RoleName), NotAdmitted>, DbError> {
        let role = roles::assigned(tx, self.access, self.provider, self.bounds, self.claims).await?;
        let Some(role) = role else { return Ok(Err(NotAdmitted::NoRole)) };
        if caps::claim(tx, Capped::Users).await?.is_reached() {
            return Ok(Err(NotAdmitted::Full));
        }
        let id = UserId::mint(self.now);
        users::insert(tx, id, email.as_str(), NO_PASSWORD, role, self.now).await?;
        let (actor, subject) = (id.to_string(), self.claims.sub.as_str());
        link(tx, self.provider.id, subject, id, &actor, self.now).await?;
        let entry = Entry {
            at: self.now,
            actor: &actor,
            act: None,
            action: "create_federated_user",
            target: &actor,
            request_id: self.request_id,
            address: self.address,
            changes: json!({ "email": email.as_str(), "role": role, "identity_provider": self.provider.id, "subject": subject }),
        };
        audit::record(tx, &entry).await?;
        Ok(Ok((id, role)))
    }
}

async fn link(
    tx: &mut TenantTx,
    provider: IdentityProviderId,
    subject: &str,
    user: UserId,
    created_by: &str,
    at: DateTime<Utc>,
) -> Result<(), DbError> {
    let id = FederatedIdentityId::mint(at);
    identities::insert(tx, &NewIdentity { id, provider, subject, user, created_by, at }).await
}
