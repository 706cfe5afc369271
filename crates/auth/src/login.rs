//! Logging in with a password.
//!
//! A client that does not know a password learns nothing from the answer, nor from how long it takes. Every failed
//! login asks the same queries and runs one hash, whether tenant, account and password exist or not, and is counted
//! against the account that it names. The session is opened, and its first token proven, under a lock on the account's
//! row: a change or removal of the account either comes before, and is seen, or comes after, and its revocation covers
//! the token.

mod turns;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bulkhead_db::{
    Authority, Db, DbError, PlatformTx,
    platform::{
        operators,
        tenants::{DirectoryEntry, LoginTenant},
    },
    sessions::{Device, Opened},
    tenant::credentials,
};
use bulkhead_domain::{Email, Evidence, Network, OperatorId, Proven, SessionId, Slug, TenantId, UserId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    attempts::{AccountKey, Attempt},
    authenticator::{AuthError, Authenticator, may_be_let_in},
    failed_login::{self, Missed},
    hash_queue::Turn,
    jwt::{AccessToken, Issue},
    keyring::Purpose,
    opening::{NewSession, Open, Opening, Renewal},
    password::{Match, PasswordError, PasswordHasher, Presented, needs_rehash},
    principal::Principal,
    request::Request,
    second_factor::{Challenge, ChallengeText},
    session::{RefreshToken, SessionOwner},
};

pub(crate) use turns::LookUps;
use turns::turn;

/// How often a login is checked in all when its account changes at the same moment.
const TRIES: usize = 3;

/// What a client sends to log in.
pub struct LoginAttempt<'a> {
    /// The tenant's slug as it was sent; `None` for operators.
    pub tenant: Option<&'a str>,
    /// The e-mail address as it was sent.
    pub email: &'a str,
    /// The password as it was sent.
    pub password: &'a str,
    /// The address that it was sent from.
    pub from: IpAddr,
    /// The `User-Agent` that came with it, for the person's list of sessions.
    pub user_agent: Option<&'a str>,
    /// What the audit log says of the request.
    pub request: Request<'a>,
}

/// The tokens of a session.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access: AccessToken,
    /// The refresh token that comes next.
    pub refresh: RefreshToken,
}

/// The account whose password it is; proven once the password has matched.
#[derive(Clone, Copy)]
enum Account {
    User { tenant: Proven<TenantId>, entry: DirectoryEntry, id: UserId },
    Operator { id: Proven<OperatorId> },
}

impl Account {
    /// The same as one whose password it was not.
    const fn missed(self) -> Missed {
        match self {
            Self::User { tenant, id, .. } => Missed::User(tenant.get(), id),
            Self::Operator { id } => Missed::Operator(id.get()),
        }
    }

    fn place(&self) -> (SessionOwner, Uuid) {
        match self {
            Self::User { tenant, id, .. } => (SessionOwner::Tenant(tenant.get()), id.uuid()),
            Self::Operator { id } => (SessionOwner::Operator, id.get().uuid()),
        }
    }
}

/// What is checked, in the form in which it is looked up. A text that cannot be a slug or an e-mail address is taken
/// as empty, and a text that cannot be a password is replaced. The login is then wrong like any other, after the same
/// work.
struct Checked {
    /// `None` for operators.
    slug: Option<String>,
    email: String,
    password: Arc<Presented>,
    /// Whether what was sent can be a password at all.
    is_password: bool,
    /// The place among the slugs where another tenant is found, which is asked when none has the slug that was sent.
    decoy: String,
    turn: Turn,
}

impl Authenticator {
    /// Logs a person of a tenant in, or an operator when no tenant is named.
    ///
    /// `ask` is called before anything is looked up, unless the account was logged in to from this address on this
    /// node lately. It may refuse by saying when to come back. `admit` is called once a person's password has matched,
    /// before anything is written, and may refuse in the same way: from here on the tenant's own limit counts.
    ///
    /// [`AuthError::Invalid`] when tenant, account and password do not match, or when the account changed each time it
    /// was checked. [`AuthError::SecondFactor`] when they match and a code has to be shown, too. [`AuthError::Limited`] when the
    /// account has to wait after failures, or `ask` or `admit` refuses. [`AuthError::Busy`] when too many logins wait already.
    pub async fn login(
        &self,
        db: &Db,
        attempt: &LoginAttempt<'_>,
        ask: impl FnOnce() -> Result<(), Duration>,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        let account = account_key(self, attempt);
        let network = Network::of(attempt.from);
        let counted = self
            .attempts
            .begin(&self.keyring, account, network, now)
            .map_err(|retry_after| AuthError::Limited { retry_after })?;
        if !counted.is_returning() {
            ask().map_err(|retry_after| AuthError::Limited { retry_after })?;
        }
        let checked = self.checked(attempt, network, &counted);
        let result = self.check_and_open(db, attempt, &checked, &counted, admit, now).await;
        match &result {
            // The password was right, whatever came then.
            Ok(_)
            | Err(
                AuthError::SecondFactor { .. }
                | AuthError::Suspended(_)
                | AuthError::Lapsed
                | AuthError::NotAdmitted
                | AuthError::Challenged
                | AuthError::Limited { .. },
            ) => {
                counted.succeeded();
            }
            Err(AuthError::Invalid) => counted.failed(),
            // These errors say nothing about the password.
            Err(
                AuthError::Busy | AuthError::IssuerAway | AuthError::Database(_) | AuthError::Internal(_),
            ) => drop(counted),
        }
        result
    }

    fn checked(&self, attempt: &LoginAttempt<'_>, network: Network, counted: &Attempt<'_>) -> Checked {
        let presented = Presented::read(attempt.password);
        let is_password = presented.is_some();
        let password = Arc::new(presented.unwrap_or_else(Presented::stand_in));
        let named = attempt.tenant.unwrap_or_default().as_bytes();
        let decoy =
            self.keyring.mac_of_parts(Purpose::LoginAttempt, &[b"decoy", named, attempt.email.as_bytes()]);
        Checked {
            slug: attempt
                .tenant
                .map(|slug| slug.parse::<Slug>().map_or_else(|_| String::new(), |s| s.to_string())),
            email: Email::for_login(attempt.email).map_or_else(String::new, |email| email.to_string()),
            password,
            is_password,
            decoy: letters(&decoy),
            turn: turn(&self.keyring, attempt.tenant, counted.is_returning(), network),
        }
    }

    async fn check_and_open(
        &self,
        db: &Db,
        attempt: &LoginAttempt<'_>,
        checked: &Checked,
        counted: &Attempt<'_>,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        let address = attempt.from.to_string();
        let device = Device { user_agent: attempt.user_agent, address: &address };
        let mut admit = Some(admit);
        for _ in 0..TRIES {
            let (account, stored, form) = self.verify_password(db, checked, counted, attempt, now).await?;
            if let Account::User { entry, .. } = &account {
                may_be_let_in(entry)?;
                if let Some(admit) = admit.take() {
                    admit(entry).await.map_err(|retry_after| AuthError::Limited { retry_after })?;
                }
            }
            let renewal = self.renewal(checked, &stored, form).await?;
            let opening =
                self.open_session(db, account, (&stored, renewal.as_ref()), &device, (attempt, now)).await?;
            match opening {
                Opening::Opened(tokens) => return Ok(tokens),
                Opening::NeedsCode { enrols } => {
                    let stored = renewal.map_or(stored, |renewal| renewal.renewed);
                    let challenge = Challenge::new(&self.keyring, account.place(), &stored, now);
                    let challenge = ChallengeText::new(challenge.reveal(&self.keyring));
                    return Err(AuthError::SecondFactor { challenge, enrols });
                }
                // The account was changed while its password was checked.
                Opening::Changed => {}
            }
        }
        Err(AuthError::Invalid)
    }

    /// The account whose password this is, and the stored hash that it matches, in which form.
    async fn verify_password(
        &self,
        db: &Db,
        checked: &Checked,
        counted: &Attempt<'_>,
        attempt: &LoginAttempt<'_>,
        now: DateTime<Utc>,
    ) -> Result<(Account, String, Match), AuthError> {
        if self.passwords.is_full(checked.turn) {
            return Err(AuthError::Busy);
        }
        let found = {
            let _its_turn = self.lookups.turn(checked.turn, counted.is_returning()).await?;
            match &checked.slug {
                Some(slug) => self.tenant_credential(db, slug, checked).await?,
                None => operator_credential(db, &checked.email).await?,
            }
        };
        let stored = found.as_ref().map(|(_, stored)| stored.clone());
        let matches = matches(&self.passwords, counted, checked.turn, &checked.password, stored).await?;
        let Some((account, stored)) = found else { return Err(AuthError::Invalid) };
        let Some(form) = matches.filter(|_| checked.is_password) else {
            failed_login::note(db, account.missed(), &attempt.request, now);
            return Err(AuthError::Invalid);
        };
        Ok((account, stored, form))
    }

    /// Asks the directory once and one tenant's schema once, whether tenant and account exist or not.
    async fn tenant_credential(
        &self,
        db: &Db,
        slug: &str,
        checked: &Checked,
    ) -> Result<Option<(Account, String)>, AuthError> {
        let tenant = self.view.directory.find_for_login(db, slug, &checked.decoy).await?;
        // In the other tenant an empty address is looked up, which no account has.
        let (id, email) = match &tenant {
            Some(LoginTenant::Named(entry)) => (entry.id, checked.email.as_str()),
            Some(LoginTenant::Decoy(id)) => (*id, ""),
            // Without any tenant there is no schema to ask, and a client can find nothing out.
            None => return Ok(None),
        };
        let found = db.login_credentials(id, async |tx| credentials::find_user(tx, email).await).await?;
        Ok(match (tenant, found) {
            (Some(LoginTenant::Named(entry)), Some(user)) => {
                // Proven only once the password has matched; nothing is opened with it before.
                let tenant = Proven::on(Evidence::Password, entry.id);
                Some((Account::User { tenant, entry, id: user.id }, user.password_hash))
            }
            _ => None,
        })
    }

    /// The hash of a password that has matched, with today's parameters and of today's form, if the stored one was made
    /// otherwise: only now is the password at hand. When many passwords are being checked it is `None`: a later login
    /// renews the hash.
    async fn renewal(
        &self,
        checked: &Checked,
        stored: &str,
        form: Match,
    ) -> Result<Option<Renewal>, AuthError> {
        if form == Match::First && !needs_rehash(stored) {
            return Ok(None);
        }
        match self.passwords.hash(checked.turn, checked.password.to_store().clone()).await {
            Ok(renewed) => Ok(Some(Renewal { stored: stored.to_owned(), renewed })),
            Err(PasswordError::Busy) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a session, if the account still has the hash that was matched and needs no code.
    async fn open_session(
        &self,
        db: &Db,
        account: Account,
        (stored, renewal): (&str, Option<&Renewal>),
        device: &Device<'_>,
        (attempt, now): (&LoginAttempt<'_>, DateTime<Utc>),
    ) -> Result<Opening<Tokens>, AuthError> {
        let session = SessionId::mint(now);
        let refresh = RefreshToken::issue(&self.keyring, account.place().0, session)?;
        let new = NewSession {
            id: session,
            mac: refresh.mac(&self.keyring),
            seconds: self.session_life.num_seconds(),
            device,
            request: &attempt.request,
            at: now,
        };
        let open = Open { rule: &self.second_factor, stored, renewal, session: new };
        let opening = match account {
            Account::User { tenant, id, .. } => {
                db.write::<_, DbError>(tenant, async |tx| open.run(tx, id).await).await?
            }
            Account::Operator { id } => {
                let run = async |tx: &mut PlatformTx| open.run(tx, id.get()).await;
                db.platform_write::<_, DbError>(Authority::credentials(), run).await?
            }
        };
        let (role, Opened { at, expires_at }) = match opening {
            Opening::Opened(opened) => opened,
            Opening::NeedsCode { enrols } => return Ok(Opening::NeedsCode { enrols }),
            Opening::Changed => return Ok(Opening::Changed),
        };
        let principal = match account {
            Account::User { tenant, id, .. } => {
                Principal::User { tenant, id, role: self.access.tenants().role(role), session, acting: None }
            }
            Account::Operator { id } => {
                Principal::Operator { id, role: self.access.operators().role(role), session }
            }
        };
        self.tokens_for(principal, refresh, expires_at, at).map(Opening::Opened)
    }

    /// The pair that a session's holder gets, for what the database has proven at `proven_at`.
    pub(crate) fn tokens_for(
        &self,
        principal: Principal,
        refresh: RefreshToken,
        ends: DateTime<Utc>,
        proven_at: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        let issue = Issue { principal, proven_at, credential_expires_at: Some(ends) };
        Ok(Tokens { access: self.tokens.issue(&*self.keys()?, &issue)?, refresh })
    }
}

/// In which form the password is the stored one, if it is. An attempt that is broken off counts as a failure only while the
/// password is hashed, not while it waits for its turn.
pub(crate) async fn matches(
    passwords: &PasswordHasher,
    counted: &Attempt<'_>,
    turn: Turn,
    password: &Arc<Presented>,
    stored: Option<String>,
) -> Result<Option<Match>, PasswordError> {
    let slot = passwords.wait(turn).await?;
    counted.check(PasswordHasher::verify(slot, Arc::clone(password), stored)).await
}

/// Always one query.
async fn operator_credential(db: &Db, email: &str) -> Result<Option<(Account, String)>, AuthError> {
    let read = async |tx: &mut _| operators::find_credential(tx, email).await;
    let found = db.platform_read(Authority::logins(), read).await?;
    Ok(found.map(|operator| {
        // Proven only once the password has matched.
        let id = Proven::on(Evidence::Password, operator.id);
        (Account::Operator { id }, operator.password_hash)
    }))
}

/// The account that a login names, with the address as it is stored, if it can be.
fn account_key(authenticator: &Authenticator, attempt: &LoginAttempt<'_>) -> AccountKey {
    let email = Email::for_login(attempt.email);
    let email = email.as_ref().map_or(attempt.email, Email::as_str);
    AccountKey::of(&authenticator.keyring, attempt.tenant, email)
}

/// The place among the slugs that a keyed hash stands for.
fn letters(mac: &[u8; 32]) -> String {
    mac.iter().take(8).map(|byte| char::from(b'a' + byte % 26)).collect()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::{attempts::Attempts, keyring::Keyring, root_key::RootKey};

    const NOW: DateTime<Utc> = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();

    fn keyring() -> Keyring {
        Keyring::new(&RootKey::from([1; 32])).unwrap()
    }

    /// More logins than may fail are broken off while they wait for others. The reason is the server's slowness, so
    /// none of them counts as a guess.
    #[tokio::test]
    async fn a_login_that_is_broken_off_in_the_queue_is_no_failure() {
        let (keyring, attempts, passwords) = (keyring(), Attempts::default(), PasswordHasher::new(1));
        let here = Network::of([192, 0, 2, 1].into());
        let account = AccountKey::of(&keyring, Some("acme"), "a@example.com");
        let turn = turn(&keyring, Some("acme"), false, here);
        let password = Arc::new(Presented::read("a password").unwrap());
        let begin = || attempts.begin(&keyring, account, here, NOW);
        let others = passwords.wait(turn).await.unwrap();
        for number in 0..12 {
            let counted = begin().unwrap_or_else(|wait| panic!("{number}: {wait:?}"));
            let check = matches(&passwords, &counted, turn, &password, None);
            assert!(check.now_or_never().is_none(), "it does not wait");
        }
        drop(others);
        // A login whose turn has come is hashed, whether its caller still waits or not, and so it is counted.
        let counted = begin().unwrap();
        assert!(matches(&passwords, &counted, turn, &password, None).now_or_never().is_none());
        drop(counted);
        for number in 1..10 {
            begin().unwrap_or_else(|wait| panic!("{number}: {wait:?}")).failed();
        }
        assert!(begin().is_err(), "what was hashed is not counted");
    }

    #[test]
    fn decoys_are_spread_over_all_slugs() {
        let first = |byte| letters(&[byte; 32]).chars().next().unwrap();
        let found: std::collections::BTreeSet<char> = (0..=255).map(first).collect();
        assert_eq!(found.len(), 26);
        assert_eq!(letters(&[0; 32]), "aaaaaaaa");
    }
}
