//! People of other issuers: their tokens at our API, and who of ours they are.
//!
//! Owns the way from a token that others have signed to a principal. A provider's row says which issuer is believed, for which
//! audience, in which tenant; the issuer's keys verify the token; provider and subject name the person. An e-mail address names
//! nobody: an issuer that lets its people write one would hand out our accounts. Refuses what a person may not have given:
//! nobody becomes more than the provider's highest role.
//!
//! What was found is remembered like what was found for an API key: for a minute, until the node learns of a revocation of the
//! person, of the provider (whose id stands where a session's stands) or of all. Removed people stay removed.

mod admission;
mod bearer;
mod login;
mod password;
mod roles;

use std::sync::Arc;

use bulkhead_db::identity_providers::{COGNITO, IdentityProvider};
use bulkhead_domain::IdentityProviderId;
use bulkhead_oidc::{Issuers, Kind, Source};

use crate::authenticator::Authenticator;

pub use login::{LOGIN_LIFETIME, LoginReturn, LoginStart, Visitor};
pub use password::PasswordLogin;

/// What the authenticator knows of other issuers.
#[derive(Clone, Debug)]
pub struct Federation {
    pub(crate) issuers: Arc<Issuers>,
}

impl Federation {
    /// With what this process knows of issuers.
    pub const fn new(issuers: Arc<Issuers>) -> Self {
        Self { issuers }
    }

    /// The issuers that may be named, and what is known of them.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }
}

impl Authenticator {
    /// The same, which takes the word of other issuers, too.
    #[must_use]
    pub fn with_federation(mut self, federation: Federation) -> Self {
        self.federation = (!federation.issuers().is_off()).then_some(federation);
        self
    }

    /// What is known of other issuers; `None` where none may be named.
    pub const fn federation(&self) -> Option<&Federation> {
        self.federation.as_ref()
    }
}

/// Where a provider's document and keys are.
pub fn source(provider: &IdentityProvider) -> Source {
    Source { issuer: provider.issuer.clone(), jwks: provider.settings.jwks_url.clone() }
}

/// How a provider's tokens are read.
pub fn kind(provider: &IdentityProvider) -> Kind {
    if provider.kind == COGNITO { Kind::Cognito } else { Kind::Oidc }
}

/// What a provider's client secret is sealed for.
pub fn secret_context(id: IdentityProviderId) -> String {
    format!("identity_provider_client {id}")
}

/// What is stored where a password's hash would be: no password has it, and the account looks like one that does not exist.
pub const NO_PASSWORD: &str = "!";

/// The claim in which a token of one of the platform's issuers names the tenant.
pub const TENANT_CLAIM: &str = "custom:tenant_id";
/// The claim in which Cognito says what a person is to be, unless the provider names another.
pub const COGNITO_ROLE_CLAIM: &str = "custom:role";
