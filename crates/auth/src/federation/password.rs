//! Logging in at AWS Cognito with a password that is shown to us.
//!
//! For programs and pages that were written for Cognito's `USER_PASSWORD_AUTH`. The password is passed on and kept nowhere. A pool
//! that asks for more than a password is no wrong password: the person is sent to its own pages. Guesses are counted by us, too:
//! Cognito sees one address, ours.

use std::time::Duration;

use bulkhead_db::{Db, identity_providers::COGNITO, platform::tenants::DirectoryEntry};
use bulkhead_domain::{IdentityProviderId, Network};
use bulkhead_oidc::{
    Endpoint,
    cognito::{self, PasswordLoginError},
    login::{ClientCredentials, IssuedTokens},
};
use chrono::{DateTime, Utc};

use super::{
    Federation,
    login::{Visitor, in_service, verified_id_token},
};
use crate::{
    attempts::{AccountKey, Attempt},
    authenticator::{AuthError, Authenticator},
    login::Tokens,
};

/// What a client sends.
pub struct PasswordLogin<'a> {
    /// The provider.
    pub provider: IdentityProviderId,
    /// The user's name there.
    pub username: &'a str,
    /// The password there.
    pub password: &'a str,
    /// Who sends it, and with what.
    pub visitor: Visitor<'a>,
}

/// Names and passwords stay out of logs.
impl std::fmt::Debug for PasswordLogin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PasswordLogin({})", self.provider)
    }
}

impl Authenticator {
    /// Logs somebody in with their password at a provider.
    ///
    /// `ask` and `admit` are as for [`Self::login`]. [`AuthError::Invalid`] for a wrong name or password, and where there is no
    /// such provider or it takes no passwords here; [`AuthError::Challenged`] when the provider asks for more.
    pub async fn federated_password_login(
        &self,
        db: &Db,
        attempt: &PasswordLogin<'_>,
        ask: impl FnOnce() -> Result<(), Duration>,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        let federation = self.federation.as_ref().ok_or(AuthError::Invalid)?;
        let account = AccountKey::of(&self.keyring, Some(&attempt.provider.to_string()), attempt.username);
        let network = Network::of(attempt.visitor.from);
        let counted = self
            .attempts
            .begin(&self.keyring, account, network, now)
            .map_err(|retry_after| AuthError::Limited { retry_after })?;
        if !counted.is_returning() {
            ask().map_err(|retry_after| AuthError::Limited { retry_after })?;
        }
        let result = self.shown_password(db, federation, attempt, &counted, admit, now).await;
        match &result {
            Err(AuthError::Invalid) => counted.failed(),
            // These say nothing about the password.
            Err(
                AuthError::Busy | AuthError::IssuerAway | AuthError::Database(_) | AuthError::Internal(_),
            ) => drop(counted),
            Ok(_) | Err(_) => counted.succeeded(),
        }
        result
    }

    async fn shown_password(
        &self,
        db: &Db,
        federation: &Federation,
        attempt: &PasswordLogin<'_>,
        counted: &Attempt<'_>,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        let provider = in_service(db, attempt.provider).await?.ok_or(AuthError::Invalid)?;
        let client_id = provider.client_id.as_deref().ok_or(AuthError::Invalid)?;
        if provider.kind != COGNITO || !provider.settings.password_login {
            return Err(AuthError::Invalid);
        }
        let secret = self.client_secret(&provider)?;
        let credentials = ClientCredentials { id: client_id, secret: secret.as_deref() };
        let api = api_of(federation, provider.settings.api_url.as_deref(), &provider.issuer)?;
        let asked = cognito::log_in(
            federation.issuers().client(),
            &api,
            credentials,
            attempt.username,
            attempt.password,
        );
        let tokens: Result<IssuedTokens, PasswordLoginError> = counted.check(asked).await;
        let tokens = tokens.map_err(|error| {
            tracing::info!(issuer = %provider.issuer, %error, "a password was worth nothing at an identity provider");
            match error {
                PasswordLoginError::Wrong => AuthError::Invalid,
                PasswordLoginError::Challenge(_) => AuthError::Challenged,
                PasswordLoginError::Refused(why)
                    if why == "PasswordResetRequiredException" || why == "UserNotConfirmedException" =>
                {
                    AuthError::Challenged
                }
                PasswordLoginError::Refused(_) | PasswordLoginError::Fetch(_) => AuthError::IssuerAway,
            }
        })?;
        let claims = verified_id_token(federation, &provider, &tokens, None, now).await?;
        self.open_federated_session(db, &provider, &claims, &attempt.visitor, admit, now).await
    }
}

/// Where Cognito takes passwords: at the host of the pool's issuer, unless said otherwise.
fn api_of(federation: &Federation, named: Option<&str>, issuer: &str) -> Result<Endpoint, AuthError> {
    let issuers = federation.issuers();
    let unusable = |_refused| AuthError::IssuerAway;
    if let Some(url) = named {
        return issuers.read_named(url).map_err(unusable);
    }
    let issuer = issuers.read_named(issuer).map_err(unusable)?;
    issuers.read_named(&format!("{}/", issuer.url().origin().ascii_serialization())).map_err(unusable)
}
