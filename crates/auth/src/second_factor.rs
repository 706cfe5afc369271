//! Second factors: codes that a person's phone makes, and the recovery codes for the day on which it is gone.
//!
//! Owns who must have one, how a code is used up, and the second step of a log-in. Between the two steps the client holds a
//! challenge: what we have signed about a password that has matched, good for five minutes and for nothing but a code, and only
//! while the password stays what it is. Nothing is stored of it, and what it stands for is read again. A person who must have a
//! second factor and has none gets one in the same way, before any session is opened. Codes are counted like passwords, and apart
//! from them: who holds a stolen password gets no further than one guess at a time, and from the networks of the person's own
//! log-ins the count is another one.
//!
//! Refuses to tell a wrong code from one that was used, and a challenge that was made up from one that is over.

mod challenge;
mod second_step;
mod tx;

use bulkhead_db::{DbError, second_factor::SecondFactor};
use chrono::{DateTime, Utc};

pub use self::{
    challenge::ChallengeText,
    second_step::CodeAttempt,
    tx::{FactorTx, SecondFactorRule},
};
pub(crate) use challenge::Challenge;

use crate::{
    authenticator::AuthError,
    keyring::{Keyring, KeyringError},
    random::NoEntropy,
    recovery_codes::{self, RecoveryCodes},
    totp::TotpSecret,
};

/// Why a second factor is not given, used or changed.
#[derive(Debug, thiserror::Error)]
pub enum FactorError {
    /// The secret that is stored cannot be opened.
    #[error("the secret of a second factor: {0}")]
    Sealed(#[from] KeyringError),
    /// There was no randomness.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Which code has been used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// One of the phone.
    Code,
    /// A recovery code.
    Recovery,
}

impl Used {
    /// The word in audit entries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Recovery => "recovery_code",
        }
    }
}

/// Makes a secret for a person, whose earlier one was never confirmed. `None` when a confirmed one stays.
pub async fn begin<Tx: FactorTx>(
    tx: &mut Tx,
    keyring: &Keyring,
    person: Tx::Person,
    at: DateTime<Utc>,
) -> Result<Option<TotpSecret>, FactorError> {
    let secret = TotpSecret::random()?;
    let sealed = keyring.seal_factor(secret.bytes(), &person.to_string())?;
    Ok(tx.begin_factor(person, &sealed, at).await?.then_some(secret))
}

/// Confirms the secret that a person was given, with a code of it. `None` for another code, and when there is nothing to confirm.
pub async fn confirm<Tx: FactorTx>(
    tx: &mut Tx,
    keyring: &Keyring,
    person: Tx::Person,
    code: &str,
    at: DateTime<Utc>,
) -> Result<Option<RecoveryCodes>, FactorError> {
    let subject = person.to_string();
    let factor = tx.factor(person).await?.filter(|factor| factor.confirmed_at.is_none());
    let Some(SecondFactor { sealed_secret, .. }) = factor else { return Ok(None) };
    let Some(step) = opened(keyring, &subject, &sealed_secret)?.step_of(code, at, 0) else { return Ok(None) };
    let codes = RecoveryCodes::random()?;
    let macs = codes.macs(keyring, &subject);
    Ok(tx.confirm_factor(person, &sealed_secret, step, &macs, at).await?.then_some(codes))
}

/// Uses up a code of a person's phone or a recovery code. `None` for any other text, and for one that was used.
pub async fn spend<Tx: FactorTx>(
    tx: &mut Tx,
    keyring: &Keyring,
    person: Tx::Person,
    code: &str,
    at: DateTime<Utc>,
) -> Result<Option<Used>, FactorError> {
    let subject = person.to_string();
    let factor = tx.factor(person).await?.filter(|factor| factor.confirmed_at.is_some());
    let Some(SecondFactor { sealed_secret, last_step, .. }) = factor else { return Ok(None) };
    if let Some(mac) = recovery_codes::mac(keyring, &subject, code) {
        return Ok(tx.use_recovery(person, &mac).await?.then_some(Used::Recovery));
    }
    match opened(keyring, &subject, &sealed_secret)?.step_of(code, at, last_step) {
        Some(step) => Ok(tx.use_step(person, &sealed_secret, step).await?.then_some(Used::Code)),
        None => Ok(None),
    }
}

/// Gives a person other recovery codes for a code of their phone. `None` for any other text, and for a code that was used.
pub async fn renew_recovery<Tx: FactorTx>(
    tx: &mut Tx,
    keyring: &Keyring,
    person: Tx::Person,
    code: &str,
    at: DateTime<Utc>,
) -> Result<Option<RecoveryCodes>, FactorError> {
    let subject = person.to_string();
    let factor = tx.factor(person).await?.filter(|factor| factor.confirmed_at.is_some());
    let Some(SecondFactor { sealed_secret, last_step, .. }) = factor else { return Ok(None) };
    let secret = opened(keyring, &subject, &sealed_secret)?;
    let Some(step) = secret.step_of(code, at, last_step) else { return Ok(None) };
    let codes = RecoveryCodes::random()?;
    let macs = codes.macs(keyring, &subject);
    Ok(tx.replace_recovery(person, step, &macs).await?.then_some(codes))
}

fn opened(keyring: &Keyring, person: &str, sealed: &[u8]) -> Result<TotpSecret, KeyringError> {
    Ok(TotpSecret::from_bytes(keyring.open_factor(sealed, person)?))
}

impl From<FactorError> for AuthError {
    fn from(error: FactorError) -> Self {
        match error {
            FactorError::Database(error) => Self::Database(error),
            FactorError::Sealed(_) | FactorError::NoEntropy(_) => Self::Internal(error.to_string()),
        }
    }
}
