//! Credentials.

use prometheus::{IntCounter, Registry, Result};

use super::family::{Counters, counter, counters, label};

label! {
    /// What was presented.
    Credential {
        /// An e-mail address and a password.
        Password = "password",
        /// A signed access token.
        AccessToken = "access_token",
        /// An API key.
        ApiKey = "api_key",
        /// A refresh token.
        RefreshToken = "refresh_token",
        /// A log-in at an identity provider.
        Federated = "federated",
    }
}

label! {
    /// What became of it.
    AuthOutcome {
        /// It was good.
        Accepted = "accepted",
        /// It was wrong, expired or revoked.
        Refused = "refused",
        /// It was not looked at, because its sender had tried too often.
        Limited = "limited",
        /// It could not be checked.
        Unavailable = "unavailable",
    }
}

/// Credentials presented.
pub struct Auth {
    attempts: Counters<(Credential, AuthOutcome)>,
    /// Passwords hashed to be stored; those of logins are counted as attempts.
    pub stored_passwords: IntCounter,
}

impl Auth {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let family =
            counters(registry, "bulkhead_auth_total", "Credentials presented", &["credential", "outcome"])?;
        let attempts = Credential::ALL.iter().flat_map(|credential| {
            AuthOutcome::ALL.iter().map(|outcome| {
                let labels = [credential.as_str(), outcome.as_str()];
                ((*credential, *outcome), family.with_label_values(&labels))
            })
        });
        let stored_passwords =
            counter(registry, "bulkhead_auth_stored_passwords_total", "Passwords hashed to be stored")?;
        Ok(Self { attempts: Counters::new(attempts), stored_passwords })
    }

    /// A credential was presented.
    pub fn presented(&self, credential: Credential, outcome: AuthOutcome) {
        self.attempts.inc(&(credential, outcome));
    }
}
