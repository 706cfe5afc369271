//! From the text of a credential to a principal, and what a node must know to judge one.
//!
//! Owns the order of the steps: what was verified lately, then the checksum, then the signature or the stored HMAC, then
//! revocations, then the tenant's state. A cached credential is never judged by a view of the revocations that is too old:
//! the view is read anew first, once for all who wait; if that fails, or the view lacks what would decide, each credential
//! is looked up by itself. No lock is held while the database is asked, and every wait here may be broken off.

use std::{sync::Arc, time::Duration};

use bulkhead_db::{
    Authority, Db, DbError,
    platform::{
        operator_sessions::{self, OperatorSession},
        signing_keys,
        tenants::DirectoryEntry,
    },
    tenant::credentials::{self, ApiKeyCredential, SessionCredential},
};
use bulkhead_domain::{AccessRegistry, Evidence, Proven, TenantId, TenantStatus, api_key::ApiKey};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::RwLock;

use crate::{
    api_key,
    attempts::Attempts,
    cache::CredentialCache,
    jwt::{AccessTokens, IssueError, MAX_LIFETIME},
    keyring::Keyring,
    login::LookUps,
    node_view::NodeView,
    password::{PasswordError, PasswordHasher},
    principal::{Principal, Verified},
    random::NoEntropy,
    revocation::{Bounds, Since, Standing},
    signing_keys::{KeySet, SigningKey, SigningKeyError, VerifyingKey},
};

/// How many credentials a node remembers.
const REMEMBERED: usize = 100_000;

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
    /// It was not looked at, because too much was tried before.
    #[error("too many attempts")]
    Limited {
        /// When it makes sense to come back.
        retry_after: Duration,
    },
    /// Too many passwords are being checked.
    #[error("too many passwords are being checked")]
    Busy,
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
}

/// Verifies credentials and issues tokens. One per process, shared by its threads.
#[derive(Debug)]
pub struct Authenticator {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) passwords: PasswordHasher,
    pub(crate) tokens: AccessTokens,
    pub(crate) access: Arc<AccessRegistry>,
    pub(crate) session_life: TimeDelta,
    pub(crate) attempts: Attempts,
    pub(crate) lookups: LookUps,
    pub(crate) view: Arc<NodeView>,
    pub(crate) cache: CredentialCache,
    keys: RwLock<Option<Arc<KeySet>>>,
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
        Self {
            keyring,
            lookups: LookUps::beside(passwords.slots()),
            passwords,
            tokens,
            access,
            session_life,
            attempts: Attempts::default(),
            view: Arc::new(NodeView::new(bounds)),
            keys: RwLock::new(None),
            cache: CredentialCache::new(REMEMBERED),
        }
    }

    /// The permissions that principals are verified with: only its numbers mean something in their sets.
    pub fn access(&self) -> &AccessRegistry {
        &self.access
    }

    /// Lets a credential's holder in, or not.
    ///
    /// `ask` is called before the database is asked about a credential that this node has never found good, and may
    /// refuse by saying when to come back. It is not called for a credential that this node has verified before,
    /// however long ago, nor for a token that we have signed.
    ///
    /// The futures for a credential that is not remembered are boxed: a request's future is moved some ten times
    /// before it is first polled, and would be ten times as large.
    pub async fn authenticate(
        &self,
        db: &Db,
        text: &str,
        ask: impl FnOnce() -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Authenticated, AuthError> {
        let is_fresh = self.view.freshen(db, now).await;
        let principal = match self.cache.get(text, now, &self.view.revocations) {
            Ok(verified) => verified.principal,
            Err(miss) if self.cache.has_lapsed(&miss, now) => return Err(AuthError::Lapsed),
            Err(miss) => {
                let verified = if ApiKey::looks_like(text) {
                    let ask = || if miss.was_good() { Ok(()) } else { ask() };
                    let verified = Box::pin(self.verify_api_key(db, text, is_fresh, ask, now)).await;
                    // Tokens need no such memory: nothing is asked about one that has lapsed.
                    if matches!(verified, Err(AuthError::Lapsed)) {
                        self.cache.put_lapsed(miss, now);
                    }
                    verified?
                } else {
                    Box::pin(self.verify_token(db, text, is_fresh, now)).await?
                };
                self.cache.put(miss, verified, now);
                verified.principal
            }
        };
        let tenant = match principal.tenant() {
            Some(tenant) => Some(self.in_service(db, tenant.get(), is_fresh, now).await?),
            None => None,
        };
        Ok(Authenticated { principal, tenant })
    }

    /// The tenant of a credential that was verified, if its principals may be let in.
    async fn in_service(
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

    async fn verify_token(
        &self,
        db: &Db,
        text: &str,
        is_fresh: bool,
        now: DateTime<Utc>,
    ) -> Result<Verified, AuthError> {
        let keys = self.keys()?;
        let verified = self.tokens.verify(&keys, &self.access, text, now).map_err(|error| {
            tracing::debug!(%error, "an access token was refused");
            if error.is_genuine() { AuthError::Lapsed } else { AuthError::Invalid }
        })?;
        let is_good = match self.view.revocations.standing(&verified.principal, verified.since, now) {
            Standing::Good => true,
            Standing::Revoked => false,
            Standing::Unknown => {
                // A tenant that is out of service may have no schema to look into.
                if let Some(tenant) = verified.principal.tenant() {
                    self.in_service(db, tenant.get(), is_fresh, now).await?;
                }
                still_stands(db, &verified.principal).await?
            }
        };
        is_good.then_some(verified).ok_or(AuthError::Lapsed)
    }

    async fn verify_api_key(
        &self,
        db: &Db,
        text: &str,
        is_fresh: bool,
        ask: impl FnOnce() -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Verified, AuthError> {
        let key = ApiKey::parse(text).map_err(|_malformed| AuthError::Invalid)?;
        ask().map_err(|retry_after| AuthError::Limited { retry_after })?;
        // Taken before the first look-up: the look-ups may not see a revocation that the node learns of from here on.
        let since = Since::LookedUp(self.view.revocations.knowledge());
        let entry =
            self.view.directory.find(db, key.tenant, is_fresh, now).await?.ok_or(AuthError::Invalid)?;
        if entry.status == TenantStatus::Provisioning {
            return Err(AuthError::Invalid);
        }
        let found = db.credentials(key.tenant, async |tx| credentials::find_api_key(tx, key.id).await).await;
        let stored = match found {
            // The tenant's schema may be gone already, and with it the stored HMAC that tells a key that was good from
            // a guess.
            Err(DbError::Denied(_) | DbError::Query(_)) if entry.status == TenantStatus::Deleted => None,
            found => found?,
        };
        let stored = stored.ok_or(AuthError::Invalid)?;
        if !api_key::matches(&self.keyring, &key, &stored.mac) {
            return Err(AuthError::Invalid);
        }
        if stored.revoked_at.is_some() || stored.expires_at.is_some_and(|end| end <= now) {
            return Err(AuthError::Lapsed);
        }
        let tenant = Proven::on(Evidence::ApiKey, key.tenant);
        let role = self.access.tenants().role(stored.role);
        let principal = Principal::ApiKey { tenant, id: key.id, role };
        let expires_at = stored.expires_at.unwrap_or(now + MAX_LIFETIME);
        Ok(Verified { principal, since, expires_at })
    }

    /// The keys that are trusted now.
    pub(crate) fn keys(&self) -> Result<Arc<KeySet>, AuthError> {
        self.keys.read().clone().ok_or_else(|| AuthError::Internal("no signing key is loaded".to_owned()))
    }

    /// The document of `/.well-known/jwks.json`; without keys, an empty set.
    pub fn jwks(&self) -> String {
        self.keys.read().as_ref().map_or_else(|| r#"{"keys":[]}"#.to_owned(), |keys| keys.jwks().to_owned())
    }

    /// Reads the signing keys, making the first one if there is none. Called at start and every half minute.
    pub async fn load_keys(&self, db: &Db, now: DateTime<Utc>) -> Result<(), AuthError> {
        let read = || db.platform_read(Authority::credentials(), async |tx| signing_keys::list(tx).await);
        let mut stored: Vec<signing_keys::StoredSigningKey> = read().await?;
        if stored.is_empty() {
            let made = tokio::task::spawn_blocking(SigningKey::generate)
                .await
                .map_err(|error| AuthError::Internal(error.to_string()))??;
            let sealed = made.sealed(&self.keyring)?;
            let (kid, jwk) = (made.public().kid().to_owned(), made.public().to_jwk());
            db.platform_write(Authority::credentials(), async |tx| {
                signing_keys::insert_first(tx, &kid, &jwk, &sealed, now).await
            })
            .await?;
            stored = read().await?;
        }
        let keys = self.assemble(&stored)?;
        let before = self.keys.write().replace(Arc::new(keys));
        // Any change counts: a key that was withdrawn must take the tokens it has signed with it.
        if before.is_none_or(|before| before.jwks() != self.jwks()) {
            self.cache.invalidate_all();
        }
        Ok(())
    }

    fn assemble(&self, stored: &[signing_keys::StoredSigningKey]) -> Result<KeySet, AuthError> {
        let active = stored.iter().find(|key| key.state == "active");
        let active = active.ok_or_else(|| AuthError::Internal("no signing key is active".to_owned()))?;
        let public = VerifyingKey::from_jwk(&active.public_jwk)?;
        let active_key = SigningKey::unseal(public, &active.sealed_private, &self.keyring)?;
        let others = stored
            .iter()
            .filter(|key| key.kid != active.kid)
            .map(|key| VerifyingKey::from_jwk(&key.public_jwk));
        Ok(KeySet::new(active_key, others.collect::<Result<Vec<_>, _>>()?))
    }

    /// Reads what was revoked since the last time, or waits for the request that is doing so. Called often enough that a
    /// revocation is known within [`KNOWN_WITHIN`](crate::revocation::KNOWN_WITHIN).
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

/// Asks the database whether what a token of ours says still holds: that its session or key is alive and its holder has the
/// role. One look-up, for a node that cannot tell by itself.
async fn still_stands(db: &Db, principal: &Principal) -> Result<bool, DbError> {
    Ok(match *principal {
        Principal::User { tenant, id, role, session } => {
            let look = async |tx: &mut _| credentials::find_session(tx, session).await;
            let found: Option<SessionCredential> = db.credentials(tenant.get(), look).await?;
            found.is_some_and(|row| row.revoked_at.is_none() && row.user == id && row.role == role.name())
        }
        Principal::ApiKey { tenant, id, role } => {
            let look = async |tx: &mut _| credentials::find_api_key(tx, id).await;
            let found: Option<ApiKeyCredential> = db.credentials(tenant.get(), look).await?;
            found.is_some_and(|row| row.revoked_at.is_none() && row.role == role.name())
        }
        Principal::Operator { id, role, session } => {
            let look = async |tx: &mut _| operator_sessions::find(tx, session).await;
            let found: Option<OperatorSession> = db.platform_read(Authority::credentials(), look).await?;
            found.is_some_and(|row| {
                row.revoked_at.is_none() && row.operator == id.get() && row.role == role.name()
            })
        }
    })
}
