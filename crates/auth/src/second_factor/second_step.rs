//! The second step of a log-in.

use std::{net::IpAddr, time::Duration};

use bulkhead_db::{Authority, Db, PlatformTx, platform::tenants::DirectoryEntry, sessions::Device};
use bulkhead_domain::{Evidence, Network, OperatorId, Proven, RoleName, SessionId, UserId};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Challenge, FactorError, FactorTx, SecondFactorRule, Used, begin, confirm, spend};
use crate::{
    attempts::{AccountKey, Attempt},
    authenticator::{AuthError, Authenticator, may_be_let_in},
    failed_login,
    keyring::Keyring,
    login::Tokens,
    opening::{IDENTITY_PROVIDER, NewSession},
    principal::Principal,
    recovery_codes::RecoveryCodes,
    request::Request,
    session::{RefreshToken, SessionOwner},
    totp::TotpSecret,
};

/// What a client sends as the second step of a log-in.
#[derive(Clone, Copy)]
pub struct CodeAttempt<'a> {
    /// What it was given for the password.
    pub challenge: &'a str,
    /// The code.
    pub code: &'a str,
    /// The address that it was sent from.
    pub from: IpAddr,
    /// The `User-Agent` that came with it.
    pub user_agent: Option<&'a str>,
    /// What the audit log says of the request.
    pub request: Request<'a>,
}

/// What is written when a log-in's second step is taken.
struct SecondStep<'a> {
    keyring: &'a Keyring,
    challenge: &'a Challenge,
    code: &'a str,
    session: NewSession<'a>,
}

/// A log-in that came to its end.
struct Entered {
    role: RoleName,
    proven_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// Those of a second factor that this log-in has confirmed.
    recovery: Option<RecoveryCodes>,
}

impl SecondStep<'_> {
    /// `None` when the code is no good, or the account is not what it was when the password matched.
    async fn run<Tx: FactorTx>(
        &self,
        tx: &mut Tx,
        person: Tx::Person,
    ) -> Result<Option<Entered>, FactorError> {
        let Some((_, stored)) = tx.own_credential(person).await? else { return Ok(None) };
        if !self.challenge.is_of(self.keyring, &stored) {
            return Ok(None);
        }
        let Some(role) = tx.lock_with_password(person, &stored).await? else { return Ok(None) };
        // Under the lock that an unlinking has to take, too.
        if !still_vouched(tx, self.challenge, person).await? {
            return Ok(None);
        }
        let (code, at) = (self.code, self.session.at);
        let (used, recovery) = match spend(tx, self.keyring, person, code, at).await? {
            Some(used) => (used, None),
            None => match confirm(tx, self.keyring, person, code, at).await? {
                Some(codes) => (Used::Code, Some(codes)),
                None => return Ok(None),
            },
        };
        if recovery.is_some() {
            let subject = person.to_string();
            let request = self.session.request;
            tx.audit(&request.entry(at, &subject, "confirm_second_factor", &subject, json!({}))).await?;
        }
        let with = match self.challenge.identity {
            Some(_) => format!("{IDENTITY_PROVIDER}, {}", used.as_str()),
            None => used.as_str().to_owned(),
        };
        let opened = self.session.open(tx, person, Some(&with)).await?;
        Ok(Some(Entered { role, proven_at: opened.at, expires_at: opened.expires_at, recovery }))
    }
}

/// Whether the issuer that has vouched for the person of a challenge may still do so; true of a challenge for a password.
async fn still_vouched<Tx: FactorTx>(
    tx: &mut Tx,
    challenge: &Challenge,
    person: Tx::Person,
) -> Result<bool, FactorError> {
    match challenge.identity {
        Some(identity) => Ok(tx.is_vouched_by(person, identity).await?),
        None => Ok(true),
    }
}

/// Rejected as a guess unless the code was right.
enum Judged<T> {
    Right(T),
    Wrong,
}

impl Authenticator {
    /// Who must have a second factor.
    pub const fn second_factor_rule(&self) -> &SecondFactorRule {
        &self.second_factor
    }

    /// Ends a log-in with a code, and gives the recovery codes of a second factor that was confirmed by that.
    ///
    /// `admit` is called before anything is written, and may refuse by saying when to come back. [`AuthError::Invalid`] when the
    /// challenge was made up or is over, or the code is no good; [`AuthError::Limited`] when the person has to wait after codes
    /// that were not.
    pub async fn login_with_code(
        &self,
        db: &Db,
        sent: &CodeAttempt<'_>,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<(Tokens, Option<RecoveryCodes>), AuthError> {
        let challenge = Challenge::read(&self.keyring, sent.challenge, now).ok_or(AuthError::Invalid)?;
        let counted = self.count_code(&challenge.subject(), sent.from, now)?;
        self.admit_challenge(db, &challenge, admit, now).await?;
        let session = SessionId::mint(now);
        let refresh = RefreshToken::issue(&self.keyring, challenge.owner, session)?;
        let address = sent.from.to_string();
        let device = Device { user_agent: sent.user_agent, address: &address };
        let new = NewSession {
            id: session,
            mac: refresh.mac(&self.keyring),
            seconds: self.session_life.num_seconds(),
            device: &device,
            request: &sent.request,
            at: now,
        };
        let step =
            SecondStep { keyring: &self.keyring, challenge: &challenge, code: sent.code, session: new };
        let (principal, entered): (Box<dyn Fn(RoleName) -> Principal>, _) = match challenge.owner {
            SessionOwner::Tenant(tenant) => {
                let tenant = Proven::on(Evidence::LoginChallenge, tenant);
                let id = UserId::from_uuid(challenge.person);
                let entered = db.write(tenant, async |tx| step.run(tx, id).await).await;
                let role = |name| self.access.tenants().role(name);
                let user =
                    move |name| Principal::User { tenant, id, role: role(name), session, acting: None };
                (Box::new(user), entered)
            }
            SessionOwner::Operator => {
                let id = OperatorId::from_uuid(challenge.person);
                let run = async |tx: &mut PlatformTx| step.run(tx, id).await;
                let entered = db.platform_write(Authority::credentials(), run).await;
                let role = |name| self.access.operators().role(name);
                let id = Proven::on(Evidence::LoginChallenge, id);
                (Box::new(move |name| Principal::Operator { id, role: role(name), session }), entered)
            }
        };
        if matches!(entered, Ok(None)) {
            failed_login::note(db, challenge.missed(), &sent.request, now);
        }
        let judged = entered.map(|entered| entered.map_or(Judged::Wrong, Judged::Right));
        let Entered { role, proven_at, expires_at, recovery } = settle(counted, judged)?;
        let tokens = self.tokens_for(principal(role), refresh, expires_at, proven_at)?;
        Ok((tokens, recovery))
    }

    /// Makes a secret for the person of a challenge, who must have a second factor and has none, with the person's address.
    /// [`AuthError::Invalid`] when the challenge was made up or is over, or the person has one meanwhile.
    pub async fn enrol_with_challenge(
        &self,
        db: &Db,
        challenge: &str,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<(TotpSecret, String), AuthError> {
        let challenge = Challenge::read(&self.keyring, challenge, now).ok_or(AuthError::Invalid)?;
        self.admit_challenge(db, &challenge, admit, now).await?;
        let made = match challenge.owner {
            SessionOwner::Tenant(tenant) => {
                let tenant = Proven::on(Evidence::LoginChallenge, tenant);
                let id = UserId::from_uuid(challenge.person);
                db.write(tenant, async |tx| self.enrol(tx, &challenge, id, now).await).await
            }
            SessionOwner::Operator => {
                let id = OperatorId::from_uuid(challenge.person);
                let enrol = async |tx: &mut PlatformTx| self.enrol(tx, &challenge, id, now).await;
                db.platform_write(Authority::credentials(), enrol).await
            }
        };
        made?.ok_or(AuthError::Invalid)
    }

    async fn enrol<Tx: FactorTx>(
        &self,
        tx: &mut Tx,
        challenge: &Challenge,
        person: Tx::Person,
        now: DateTime<Utc>,
    ) -> Result<Option<(TotpSecret, String)>, FactorError> {
        let Some((email, stored)) = tx.own_credential(person).await? else { return Ok(None) };
        if !challenge.is_of(&self.keyring, &stored) || !still_vouched(tx, challenge, person).await? {
            return Ok(None);
        }
        Ok(begin(tx, &self.keyring, person, now).await?.map(|secret| (secret, email)))
    }

    /// Whether the tenant of a challenge still takes log-ins.
    async fn admit_challenge(
        &self,
        db: &Db,
        challenge: &Challenge,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<(), AuthError> {
        let SessionOwner::Tenant(tenant) = challenge.owner else { return Ok(()) };
        let is_fresh = self.view.revocations.is_fresh(now);
        let entry = self.view.directory.find(db, tenant, is_fresh, now).await?.ok_or(AuthError::Invalid)?;
        may_be_let_in(&entry)?;
        admit(&entry).await.map_err(|retry_after| AuthError::Limited { retry_after })
    }

    /// Does work that uses a code of a person who is logged in. `work` says by `None` that the code was no good, which counts as a
    /// guess and is what is returned then. [`AuthError::Limited`] when the person has to wait.
    pub async fn with_code<T, E: From<AuthError>>(
        &self,
        subject: &str,
        from: IpAddr,
        now: DateTime<Utc>,
        work: impl AsyncFnOnce() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let counted = self.count_code(subject, from, now)?;
        let done = work().await?;
        if done.is_some() {
            counted.succeeded();
        } else {
            counted.failed();
        }
        Ok(done)
    }

    fn count_code(&self, subject: &str, from: IpAddr, now: DateTime<Utc>) -> Result<Attempt<'_>, AuthError> {
        let account = AccountKey::of_codes(&self.keyring, subject);
        let begun = self.attempts.begin(&self.keyring, account, Network::of(from), now);
        begun.map_err(|retry_after| AuthError::Limited { retry_after })
    }
}

fn settle<T>(counted: Attempt<'_>, judged: Result<Judged<T>, FactorError>) -> Result<T, AuthError> {
    match judged {
        Ok(Judged::Right(done)) => {
            counted.succeeded();
            Ok(done)
        }
        Ok(Judged::Wrong) => {
            counted.failed();
            Err(AuthError::Invalid)
        }
        // It says nothing about the code.
        Err(error) => Err(error.into()),
    }
}
