//! Access tokens of other issuers, as they are shown at our API.
//!
//! Only a text that is none of our tokens comes here. Before anything is looked up for it, its issuer has to be on a host that
//! is allowed, and its address asked whether it may fail. What is looked up then depends on claims that anybody may have
//! written; what is answered depends on the signature.

use std::time::Duration;

use bulkhead_db::{
    Authority, Db, DbError, TenantTx,
    identity_providers::IdentityProvider,
    platform::identity_providers::{self as providers, Membership},
    tenant::federated_identities::{self as identities, Linked},
};
use bulkhead_domain::{Evidence, Proven, SessionId, TenantId};
use bulkhead_oidc::{Claims, Expected, Presented};
use chrono::{DateTime, Utc};

use super::{
    Federation, TENANT_CLAIM, admission::Newcomer, admission::NotAdmitted, kind, roles::Bounds, source,
};
use crate::{
    authenticator::{AuthError, Authenticator, Caller},
    principal::{KeyTerms, Principal, Verified},
    revocation::Since,
    second_factor::FactorTx as _,
};

/// A provider whose token it may be, and the tenant that it speaks for.
struct Candidate {
    provider: IdentityProvider,
    tenant: TenantId,
    membership: Option<Membership>,
}

impl Authenticator {
    /// Lets the holder of another issuer's access token in, or not.
    pub(crate) async fn verify_foreign(
        &self,
        db: &Db,
        federation: &Federation,
        text: &str,
        (is_fresh, caller): (bool, Caller<'_>),
        ask: impl FnOnce() -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Verified, AuthError> {
        let presented = Presented::read(text).map_err(refused)?;
        let issuer = presented.issuer().to_owned();
        if issuer == self.tokens.issuer() || federation.issuers.read_named(&issuer).is_err() {
            return Err(AuthError::Invalid);
        }
        ask().map_err(|retry_after| AuthError::Limited { retry_after })?;
        // Taken before the first look-up: the look-ups may not see a revocation that the node learns of from here on.
        let since = Since::LookedUp(self.view.revocations.knowledge());
        let Some(candidate) = candidate(db, &presented).await? else { return Err(AuthError::Invalid) };
        let claims = self.claims(federation, &candidate.provider, presented, now).await?;
        let entry = self.in_service(db, candidate.tenant, is_fresh, now).await?;
        let tenant = Proven::on(Evidence::Federation, entry.id);
        let (provider, subject) = (candidate.provider.id, claims.sub.as_str());
        let look = async |tx: &mut _| identities::look_up(tx, provider, subject).await;
        let found: Option<Linked> = db.credentials(entry.id, look).await?;
        let admitted = match found {
            Some(Linked::To(user, role)) => Ok((user, role)),
            Some(Linked::Removed) => Err(NotAdmitted::Removed),
            None => {
                let address = caller.from.map(|address| address.to_string());
                let newcomer = Newcomer {
                    access: &self.access,
                    provider: &candidate.provider,
                    bounds: Bounds::of(&candidate.provider, candidate.membership),
                    claims: &claims,
                    request_id: caller.request_id,
                    address: address.as_deref(),
                    now,
                };
                Box::pin(newcomer.admit(db, tenant)).await?
            }
        };
        let admitted = admitted.and_then(|(id, role)| {
            // No code can be asked for here.
            let lacks_factor = !candidate.provider.settings.asks_second_factor
                && TenantTx::requires(&self.second_factor, role);
            if lacks_factor { Err(NotAdmitted::NoSecondFactor) } else { Ok((id, role)) }
        });
        let (id, role) = admitted.map_err(|why| {
            tracing::info!(%why, %provider, "somebody of an identity provider was not admitted");
            AuthError::Lapsed
        })?;
        let role = self.access.tenants().role(role);
        let session = SessionId::from_uuid(provider.uuid());
        let principal = Principal::User { tenant, id, role, session, acting: None };
        Ok(Verified { principal, since, expires_at: claims.expires_at(), key: KeyTerms::default() })
    }

    async fn claims(
        &self,
        federation: &Federation,
        provider: &IdentityProvider,
        presented: Presented<'_>,
        now: DateTime<Utc>,
    ) -> Result<Claims, AuthError> {
        let audience = provider.audience.as_deref().ok_or(AuthError::Invalid)?;
        let source = source(provider);
        let expected = Expected::Access { audience };
        let verified = federation.issuers.verify(&source, presented, kind(provider), expected, now).await;
        let verified = verified.map_err(|error| {
            tracing::info!(issuer = %source.issuer, %error, "a token cannot be verified");
            AuthError::IssuerAway
        })?;
        verified.map_err(refused)
    }
}

/// The one provider whose audience the token names, with the tenant. Of one issuer there is one provider for each audience; a
/// token for two of them could be of either tenant, and is refused.
async fn candidate(db: &Db, presented: &Presented<'_>) -> Result<Option<Candidate>, AuthError> {
    let named = presented.text(TENANT_CLAIM).and_then(|text| text.parse::<TenantId>().ok());
    let (issuer, audiences) = (presented.issuer(), presented.audiences());
    let look = async |tx: &mut _| {
        let found = providers::accepting(tx, issuer, &audiences).await?;
        let Ok([provider]) = <[IdentityProvider; 1]>::try_from(found) else { return Ok(None) };
        Ok::<_, DbError>(match (provider.tenant, named) {
            (Some(tenant), _) => Some(Candidate { provider, tenant, membership: None }),
            (None, Some(tenant)) => {
                let membership = providers::membership(tx, provider.id, tenant).await?;
                membership.map(|membership| Candidate { provider, tenant, membership: Some(membership) })
            }
            (None, None) => None,
        })
    };
    Ok(db.platform_read(Authority::credentials(), look).await?)
}

fn refused(error: bulkhead_oidc::TokenError) -> AuthError {
    tracing::debug!(%error, "a token of another issuer was refused");
    AuthError::Invalid
}
