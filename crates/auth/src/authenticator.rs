//! From the text of a credential to a principal, and what a node must know to judge one.
//!
//! Owns the order of the steps: what was verified lately, then the checksum, then the signature or the stored HMAC, then
//! revocations, then the address from which a key works, then the tenant's state, then what the role holds, if it is one of the
//! tenant's own. A cached credential is
//! never judged by a view of the revocations that is too old: the view is read anew first, once for all who wait; if that
//! fails, or the view lacks what would decide, each credential is looked up by itself. No lock is held while the database is
//! asked, and every wait here may be broken off.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bulkhead_db::{
    Authority, Db, DbError,
    platform::{
        operator_sessions::{self, OperatorSession},
        signing_keys,
        tenants::DirectoryEntry,
    },
    tenant::credentials::{self, SessionCredential},
};
use bulkhead_domain::{AccessRegistry, Limit, TenantId, TenantStatus, api_key::ApiKey};
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    attempts::Attempts,
    cache::{CredentialCache, Miss},
    federation::Federation,
    impersonation::may_act,
    jwt::{self, AccessTokens, IssueError, TokenError},
    key_uses::KeyUses,
    keyring::Keyring,
    login::LookUps,
    node_view::NodeView,
    operator_secrets::OperatorKey,
    password::{PasswordError, PasswordHasher},
    principal::{Principal, Verified},
    random::NoEntropy,
    revocation::{Bounds, Standing},
    rotation::{PUBLISHED_BEHIND, SigningKeyMaker},
    second_factor::{ChallengeText, SecondFactorRule},
    signing_keys::{KeySet, SigningKeyError},
};

/// How many credentials a node remembers.
const REMEMBERED: usize = 100_000;

/// Who shows a credential with a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The address, if the network tells.
    pub from: Option<IpAddr>,
    /// The request's id.
    pub request_id: &'a str,
}

/// Why a person was not logged in, or a credential's holder not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The credential is not good, and never was as far as can be told: a guess.
    #[error("the credential is not good")]
    Invalid,
    /// It is one of ours and was good once; it has expired or was revoked. The caller learns no more than with
    /// [`Self::Invalid`], but has guessed nothing.
    #[error("the credential is not good any more")]
    Lapsed,
    /// The credential is good, but its tenant, whose bucket still bounds it, is closed.
    #[error("the tenant is suspended")]
    Suspended(DirectoryEntry),
    /// The password is good, and a code has to be shown, too.
    #[error("a code has to be shown, too")]
    SecondFactor {
        /// What the code is sent with.
        challenge: ChallengeText,
        /// Whether the person must have a second factor and has none: they get one with the challenge first.
        enrols: bool,
    },
    /// It was not looked at, because too much was tried before.
    #[error("too many attempts")]
    Limited {
        /// When it makes sense to come back.
        retry_after: Duration,
    },
    /// Too many passwords are being checked.
    #[error("too many passwords are being checked")]
    Busy,
    /// The issuer of the credential cannot be asked for its keys.
    #[error("the issuer of the credential does not answer")]
    IssuerAway,
    /// The issuer asks for more than was shown.
    #[error("the issuer asks for more than a password")]
    Challenged,
    /// The issuer vouches for a person, and the tenant has no such user: no identity is linked, and the provider may not add users.
    #[error("somebody of an issuer is nobody of the tenant's")]
    NotAdmitted,
    /// The database could not be asked.
    #[error(transparent)]
    Database(#[from] DbError),
    /// Our fault: a key, the stored data or the generator is unusable.
    #[error("{0}")]
    Internal(String),
}

impl From<PasswordError> for AuthError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            PasswordError::Failed => Self::Internal(error.to_string()),
        }
    }
}

macro_rules! internal {
    ($($error:ty),*) => {$(
        impl From<$error> for AuthError {
            fn from(error: $error) -> Self {
                Self::Internal(error.to_string())
            }
        }
    )*};
}
internal!(SigningKeyError, IssueError, NoEntropy);

/// A caller that was let in.
#[derive(Clone, Copy, Debug)]
pub struct Authenticated {
    /// Who it is.
    pub principal: Principal,
    /// Its tenant, in service; `None` for operators.
    pub tenant: Option<DirectoryEntry>,
    /// How many requests it may make by itself, if it is an API key with a limit of its own.
    pub limit: Option<Limit>,
}

/// Verifies credentials and issues tokens. One per process, shared by its threads.
#[derive(Debug)]
pub struct Authenticator {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) passwords: PasswordHasher,
    pub(crate) tokens: AccessTokens,
    pub(crate) access: Arc<AccessRegistry>,
    pub(crate) session_life: TimeDelta,
    pub(crate) second_factor: SecondFactorRule,
    pub(crate) attempts: Attempts,
    pub(crate) lookups: LookUps,
    pub(crate) view: Arc<NodeView>,
    pub(crate) cache: Arc<CredentialCache>,
    pub(crate) key_uses: KeyUses,
    /// `None` where no other issuer may be named: then nothing but our own tokens is looked at.
    pub(crate) federation: Option<Federation>,
}

impl Authenticator {
    /// An authenticator that knows no keys yet: call [`Self::load_keys`] before it is used. Sessions end `session_life`
    /// after they begin. What a role holds is what `access` says.
    pub fn new(
        keyring: Arc<Keyring>,
        passwords: PasswordHasher,
        tokens: AccessTokens,
        access: Arc<AccessRegistry>,
        session_life: TimeDelta,
        bounds: Bounds,
    ) -> Self {
        let cache = Arc::new(CredentialCache::new(REMEMBERED));
        Self {
            view: Arc::new(NodeView::new(bounds, Arc::clone(&keyring), Arc::clone(&cache))),
            keyring,
            lookups: LookUps::beside(passwords.slots()),
            passwords,
            tokens,
            access,
            session_life,
            second_factor: SecondFactorRule::default(),
            attempts: Attempts::default(),
            cache,
            key_uses: KeyUses::default(),
            federation: None,
        }
    }

    /// The same where some people must have a second factor.
    #[must_use]
    pub fn requiring(self, second_factor: SecondFactorRule) -> Self {
        Self { second_factor, ..self }
    }

    /// The permissions that principals are verified with: only its numbers mean something in their sets.
    pub fn access(&self) -> &AccessRegistry {
        &self.access
    }

    /// Lets a credential's holder in, or not.
    ///
    /// `ask` is called before the database is asked about a credential that this node has never found good, and may
    /// refuse by saying when to come back. It is not called for a credential that this node has verified before,
    /// however long ago, nor for a token that we have signed. A token that is none of ours is looked at as one of another
    /// issuer's, where such may be named.
    ///
    /// The futures for a credential that is not remembered are boxed: a request's future is moved some ten times
    /// before it is first polled, and would be ten times as large.
    pub async fn authenticate(
        &self,
        db: &Db,
        text: &str,
        caller: Caller<'_>,
        ask: impl FnOnce() -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Authenticated, AuthError> {
        if OperatorKey::looks_like(text) {
            return Box::pin(self.authenticate_operator_key(db, text, now)).await;
        }
        let is_fresh = self.view.freshen(db, now).await;
        let Verified { principal, key, .. } = match self.remembered(text, now) {
            Ok(verified) => verified,
            Err(miss) => Box::pin(self.verify(db, text, miss, (is_fresh, caller), ask, now)).await?,
        };
        // From elsewhere a key is not good, and nothing tells that it would be.
        if !key.admits(caller.from) {
            return Err(AuthError::Lapsed);
        }
        let Some(tenant) = principal.tenant() else {
            let principal = Box::pin(self.with_operators_role(db, principal)).await?;
            return Ok(Authenticated { principal, tenant: None, limit: None });
        };
        let entry = self.in_service(db, tenant.get(), is_fresh, now).await?;
        let role = principal.role();
        // A role that the registry knows holds something. Any other one is the tenant's own, or none. What a key holds was worked
        // out with the key: its role may hold more.
        let principal = if role.permissions().is_empty() && principal.api_key().is_none() {
            let find = self.view.own_roles.find(db, &self.access, tenant, role.name(), is_fresh, now);
            principal.with_role(Box::pin(find).await?)
        } else {
            principal
        };
        let principal = may_act(&self.access, principal, &entry)?;
        Ok(Authenticated { principal, tenant: Some(entry), limit: key.limit() })
    }

    /// What this node remembers of a credential, if it still holds.
    fn remembered(&self, text: &str, now: DateTime<Utc>) -> Result<Verified, Miss> {
        let found = self.cache.get(text, now, &self.view.revocations)?;
        match found.principal {
            Principal::ApiKey { tenant, .. }
                if found.key.generation != self.view.generation_of(tenant.get()) =>
            {
                Err(self.cache.outdated(text))
            }
            _ => Ok(found),
        }
    }

    /// Verifies a credential that is not remembered, and remembers what came of it.
    async fn verify(
        &self,
        db: &Db,
        text: &str,
        miss: Miss,
        (is_fresh, caller): (bool, Caller<'_>),
        ask: impl FnOnce() -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Verified, AuthError> {
        let verified = if ApiKey::looks_like(text) {
            let key = ApiKey::parse(text).map_err(|_malformed| AuthError::Invalid)?;
            // Taken before the look-ups: they may not see a change that the node learns of from here on.
            let generation = self.view.generation_of(key.tenant);
            if self.cache.lapsed_in(&miss, now) == Some(generation) {
                return Err(AuthError::Lapsed);
            }
            let ask = || if miss.was_good() { Ok(()) } else { ask() };
            let proof = (is_fresh, generation, caller.from);
            let verified = self.verify_api_key(db, &key, proof, ask, now).await;
            // Tokens need no such memory: nothing is asked about one that has lapsed.
            if matches!(verified, Err(AuthError::Lapsed)) {
                self.cache.put_lapsed_in(miss, generation, now);
            }
            verified?
        } else {
            match self.verify_token(db, text, is_fresh, now).await? {
                Some(verified) => verified,
                None => self.verify_not_ours(db, text, miss, (is_fresh, caller), ask, now).await?,
            }
        };
        self.cache.put(miss, verified.clone(), now);
        Ok(verified)
    }

    /// Verifies what is no token of ours: it may be another issuer's.
    async fn verify_not_ours(
        &self,
        db: &Db,
        text: &str,
        miss: Miss,
        (is_fresh, caller): (bool, Caller<'_>),
        ask: impl FnOnce() -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Verified, AuthError> {
        let Some(federation) = &self.federation else { return Err(AuthError::Invalid) };
        if self.cache.has_lapsed(&miss, now) {
            return Err(AuthError::Lapsed);
        }
        let ask = || if miss.was_good() { Ok(()) } else { ask() };
        let verify = self.verify_foreign(db, federation, text, (is_fresh, caller), ask, now);
        let verified = Box::pin(verify).await;
        // Tokens of ours need no such memory: nothing is asked about one that has lapsed.
        if matches!(verified, Err(AuthError::Lapsed)) {
            self.cache.put_lapsed(miss, now);
        }
        verified
    }

    /// The tenant of a credential that was verified, if its principals may be let in.
    pub(crate) async fn in_service(
        &self,
        db: &Db,
        tenant: TenantId,
        is_fresh: bool,
        now: DateTime<Utc>,
    ) -> Result<DirectoryEntry, AuthError> {
        let entry = self.view.directory.find(db, tenant, is_fresh, now).await?.ok_or(AuthError::Lapsed)?;
        may_be_let_in(&entry)?;
        Ok(entry)
    }

    /// `None` for a text that none of our keys has signed.
    async fn verify_token(
        &self,
        db: &Db,
        text: &str,
        is_fresh: bool,
        now: DateTime<Utc>,
    ) -> Result<Option<Verified>, AuthError> {
        let verified = match self.verify_signature(db, text, now).await? {
            Ok(verified) => verified,
            Err(error) => {
                tracing::debug!(%error, "it is no access token of ours, or none that is good");
                return if error.is_genuine() { Err(AuthError::Lapsed) } else { Ok(None) };
            }
        };
        let is_good = match self.view.revocations.standing(&verified.principal, verified.since, now) {
            Standing::Good => true,
            Standing::Revoked => false,
            Standing::Unknown => {
                // A tenant that is out of service may have no schema to look into.
                if let Some(tenant) = verified.principal.tenant() {
                    self.in_service(db, tenant.get(), is_fresh, now).await?;
                }
                (is_fresh || key_stands(db, text).await?) && still_stands(db, &verified.principal).await?
            }
        };
        if is_good { Ok(Some(verified)) } else { Err(AuthError::Lapsed) }
    }

    /// What a token says, if it is signed with a key that this node trusts. A key that does not sign yet as far as the node knows
    /// may do so since a moment ago: the keys are read anew, which only a token that is really signed with it can bring about. A
    /// read that was under way already may have begun before.
    async fn verify_signature(
        &self,
        db: &Db,
        text: &str,
        now: DateTime<Utc>,
    ) -> Result<Result<Verified, TokenError>, AuthError> {
        let mut verified = self.tokens.verify(&*self.keys()?, &self.access, text, now);
        for _ in 0..2 {
            if verified != Err(TokenError::NotActive) {
                break;
            }
            self.view.read(db, now).await?;
            verified = self.tokens.verify(&*self.keys()?, &self.access, text, now);
        }
        Ok(verified)
    }

    /// The keys that are trusted now.
    pub(crate) fn keys(&self) -> Result<Arc<KeySet>, AuthError> {
        self.view.keys.current().ok_or_else(|| AuthError::Internal("no signing key is loaded".to_owned()))
    }

    /// The document of `/.well-known/jwks.json`; without keys, an empty set.
    pub fn jwks(&self) -> String {
        let keys = self.view.keys.current();
        keys.map_or_else(|| r#"{"keys":[]}"#.to_owned(), |keys| keys.jwks().to_owned())
    }

    /// Makes the first signing key if there is none, and reads the keys. Fails when there is none to sign with. Called at start;
    /// from then on keys are read with the revocations.
    pub async fn load_keys(&self, db: &Db, now: DateTime<Utc>) -> Result<(), AuthError> {
        let read = async || {
            let read = async |tx: &mut _| signing_keys::published(tx, PUBLISHED_BEHIND).await;
            db.platform_read::<_, DbError>(Authority::credentials(), read).await
        };
        let mut stored = read().await?;
        if stored.is_empty() {
            let made = self.signing_key_maker().make().await?;
            let first = async |tx: &mut _| {
                signing_keys::insert_first(tx, &made.kid, &made.public_jwk, &made.sealed_private, now).await
            };
            db.platform_write::<_, DbError>(Authority::credentials(), first).await?;
            stored = read().await?;
        }
        self.view.take_keys(stored);
        self.keys()?.active()?;
        Ok(())
    }

    /// Makes signing keys for this platform.
    pub fn signing_key_maker(&self) -> SigningKeyMaker {
        SigningKeyMaker::new(Arc::clone(&self.keyring))
    }

    /// Reads what was revoked since the last time, and the signing keys, or waits for the request that is doing so. Called often
    /// enough that a revocation is known within [`KNOWN_WITHIN`](crate::revocation::KNOWN_WITHIN).
    pub async fn read_revocations(&self, db: &Db, now: DateTime<Utc>) -> Result<(), DbError> {
        self.view.read(db, now).await
    }
}

/// Whether the principals of a tenant may be let in, their credentials being good.
pub(crate) const fn may_be_let_in(tenant: &DirectoryEntry) -> Result<(), AuthError> {
    match tenant.status {
        TenantStatus::Active => Ok(()),
        TenantStatus::Suspended => Err(AuthError::Suspended(*tenant)),
        TenantStatus::Provisioning | TenantStatus::Deleted => Err(AuthError::Lapsed),
    }
}

/// Asks the database whether the key that a token is signed with is still trusted, for a node whose view is too old.
async fn key_stands(db: &Db, text: &str) -> Result<bool, DbError> {
    let Some(kid) = jwt::kid(text) else { return Ok(false) };
    let look = async |tx: &mut _| signing_keys::is_trusted(tx, &kid, PUBLISHED_BEHIND).await;
    db.platform_read(Authority::credentials(), look).await
}

/// Asks the database whether what a token of ours says still holds: that its session is alive and its holder has the
/// role. One look-up, for a node that cannot tell by itself.
async fn still_stands(db: &Db, principal: &Principal) -> Result<bool, DbError> {
    Ok(match *principal {
        Principal::User { tenant, id, role, session, acting: None } => {
            let look = async |tx: &mut _| credentials::find_session(tx, session).await;
            let found: Option<SessionCredential> = db.credentials(tenant.get(), look).await?;
            found.is_some_and(|row| row.revoked_at.is_none() && row.user == id && row.role == role.name())
        }
        Principal::Operator { id, role, session } => {
            let look = async |tx: &mut _| operator_sessions::find(tx, session).await;
            let found: Option<OperatorSession> = db.platform_read(Authority::credentials(), look).await?;
            found.is_some_and(|row| {
                row.revoked_at.is_none() && row.operator == id.get() && row.role == role.name()
            })
        }
        // A node that cannot tell by itself lets nobody act as somebody else; and no token speaks for a key.
        Principal::User { acting: Some(_), .. }
        | Principal::ApiKey { .. }
        | Principal::OperatorKey { .. } => false,
    })
}
