//! Values that have been proven, not claimed.
//!
//! A tenant's data can only be opened with a `Proven<TenantId>`. The evidence is named where the proof is
//! made; `cargo xtask graph` lists the files that may call [`Proven::on`] for each kind of evidence, and fails for any
//! other, so a new one is a reviewed decision.

use std::fmt;

/// Why a value may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The signature of an access token was verified and the token is not revoked.
    AccessToken,
    /// The secret of an API key matched the stored HMAC and the key is not revoked.
    ApiKey,
    /// A password matched; used only while the login that checks it is being answered.
    Password,
    /// Nothing but that a log-in with a wrong password has named an account of this tenant. It lets the audit log say so.
    FailedLogin,
    /// The HMAC of a refresh token matched its session.
    RefreshToken,
    /// The tag of a one-time token shows that we have issued it for a person of this tenant.
    OneTimeToken,
    /// None: a stranger has named the tenant, to register with it or to ask for a new password. What they may do is one mail, or one
    /// account where the tenant has said so.
    Stranger,
    /// The tag shows that we have issued what a client shows for a password that has matched a moment ago.
    LoginChallenge,
    /// An operator who may act as a tenant's people has named the tenant, which its owners allow.
    Impersonation,
    /// The secret of an operator's API key matched the stored HMAC and the key works.
    OperatorKey,
    /// The signature of an issuer that the tenant trusts was verified on a token that names one of its people.
    Federation,
    /// The row of `platform.jobs` being run names this tenant.
    JobRow,
    /// None: the caller made the tenant itself a moment ago, to try something out or to show it. Only `bulkhead dev`, the
    /// benchmarks and the tests may say so.
    Fixture,
}

/// A value together with the fact that it was proven. The evidence is shown in logs and never handed out, so that it
/// cannot be used to prove another value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proven<T> {
    value: T,
    evidence: Evidence,
}

impl<T: Copy> Proven<T> {
    /// States that `value` was proven by `evidence`. Only the verification of credentials and the job runner may say
    /// so of what a caller has sent.
    pub const fn on(evidence: Evidence, value: T) -> Self {
        Self { value, evidence }
    }

    /// The proven value.
    pub const fn get(&self) -> T {
        self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Proven<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (by {:?})", self.value, self.evidence)
    }
}
