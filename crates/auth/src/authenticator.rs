//! From the text of a credential to a principal, and what a node must know to judge one.
//!
//! Owns the order of the steps: what was verified lately, then the checksum, then the signature or the stored HMAC, then
//! revocations, then the tenant's state. A credential is never judged by a view of the revocations that is too old: the
//! view is read anew first, and if it cannot be, the caller is told to come back.

use std::sync::Arc;

use bulkhead_db::{
    Authority, Db, DbError,
    platform::{
        revocations::{self, Horizon, RevocationRow},
        signing_keys,
        tenants::DirectoryEntry,
    },
    tenant::credentials,
};
use bulkhead_domain::{Evidence, Proven, TenantId, TenantStatus, api_key::ApiKey};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::RwLock;
use tokio::sync::Mutex;

use crate::{
    api_key,
    cache::CredentialCache,
    directory::Directory,
    jwt::{AccessTokens, IssueError, MAX_LIFETIME},
    keyring::Keyring,
    password::{PasswordError, PasswordHasher},
    principal::{Principal, Verified},
    random::NoEntropy,
    revocation::{Revocation, Revocations, RevokedSubject, Standing},
    signing_keys::{KeySet, SigningKey, SigningKeyError, VerifyingKey},
};

/// How many credentials, and how many tenants, a node remembers.
const REMEMBERED: usize = 100_000;

/// Why nobody is logged in, or let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The credential is not good, for whatever reason.
    #[error("the credential is not good")]
    Invalid,
    /// The credential is good, but its tenant is closed.
    #[error("the tenant is suspended")]
    Suspended,
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
            PasswordError::StoredHash | PasswordError::Failed => Self::Internal(error.to_string()),
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
    pub(crate) session_life: TimeDelta,
    pub(crate) directory: Directory,
    keys: RwLock<Option<Arc<KeySet>>>,
    cache: CredentialCache,
    revocations: Revocations,
    /// Where the last read of the revocations has got to; held while one is going on.
    horizon: Mutex<Option<Horizon>>,
}

impl Authenticator {
    /// An authenticator that knows no keys yet: call [`Self::load_keys`] before it is used. Sessions end `session_life`
    /// after they begin.
    pub fn new(
        keyring: Arc<Keyring>,
        passwords: PasswordHasher,
        tokens: AccessTokens,
        session_life: TimeDelta,
    ) -> Self {
        Self {
            keyring,
            passwords,
            tokens,
            session_life,
            directory: Directory::new(REMEMBERED),
            keys: RwLock::new(None),
            cache: CredentialCache::new(REMEMBERED),
            revocations: Revocations::new(),
            horizon: Mutex::new(None),
        }
    }

    /// Lets a credential's holder in, or not.
    pub async fn authenticate(
        &self,
        db: &Db,
        text: &str,
        now: DateTime<Utc>,
    ) -> Result<Authenticated, AuthError> {
        if !self.revocations.fresh(now) {
            let mut horizon = self.horizon.lock().await;
            // Of many requests that find the view too old, the first reads it for all of them.
            if !self.revocations.fresh(now) {
                self.read_from(&mut horizon, db, now).await?;
            }
        }
        let principal = match self.cache.get(text, now, &self.revocations) {
            Ok(verified) => verified.principal,
            Err(miss) => {
                let verified = self.verify(db, text, now).await?;
                self.cache.put(miss, verified, now);
                verified.principal
            }
        };
        let tenant = match principal.tenant() {
            Some(tenant) => Some(self.in_service(db, tenant.get(), now).await?),
            None => None,
        };
        Ok(Authenticated { principal, tenant })
    }

    /// The tenant, if its principals may be let in.
    pub(crate) async fn in_service(
        &self,
        db: &Db,
        tenant: TenantId,
        now: DateTime<Utc>,
    ) -> Result<DirectoryEntry, AuthError> {
        let entry = self.directory.find(db, tenant, now).await?.ok_or(AuthError::Invalid)?;
        match entry.status {
            TenantStatus::Active => Ok(entry),
            TenantStatus::Suspended => Err(AuthError::Suspended),
            TenantStatus::Provisioning | TenantStatus::Deleted => Err(AuthError::Invalid),
        }
    }

    async fn verify(&self, db: &Db, text: &str, now: DateTime<Utc>) -> Result<Verified, AuthError> {
        if ApiKey::looks_like(text) {
            return self.verify_api_key(db, text, now).await;
        }
        let keys = self.keys()?;
        let verified = self.tokens.verify(&keys, text, now).map_err(|error| {
            tracing::debug!(%error, "an access token was refused");
            AuthError::Invalid
        })?;
        match self.revocations.standing(&verified.principal, verified.issued_at, now) {
            Standing::Good => Ok(verified),
            Standing::Revoked => Err(AuthError::Invalid),
            Standing::Unknown => {
                Err(DbError::Unavailable("what was revoked is not known well enough".to_owned()).into())
            }
        }
    }

    async fn verify_api_key(&self, db: &Db, text: &str, now: DateTime<Utc>) -> Result<Verified, AuthError> {
        let key = ApiKey::parse(text).map_err(|_malformed| AuthError::Invalid)?;
        let entry = self.directory.find(db, key.tenant, now).await?.ok_or(AuthError::Invalid)?;
        if matches!(entry.status, TenantStatus::Provisioning | TenantStatus::Deleted) {
            return Err(AuthError::Invalid);
        }
        let stored =
            db.credentials(key.tenant, async |tx| credentials::find_api_key(tx, key.id).await).await?;
        let stored = stored.ok_or(AuthError::Invalid)?;
        let alive = stored.revoked_at.is_none() && stored.expires_at.is_none_or(|end| now < end);
        if !api_key::matches(&self.keyring, &key, &stored.mac) || !alive {
            return Err(AuthError::Invalid);
        }
        let tenant = Proven::on(Evidence::ApiKey, key.tenant);
        let principal = Principal::ApiKey { tenant, id: key.id, role: stored.role };
        // Good as of the moment before the database was asked: a revocation since then is a later one.
        let expires_at = stored.expires_at.unwrap_or(now + MAX_LIFETIME);
        Ok(Verified { principal, issued_at: now, expires_at })
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

    /// Reads what was revoked since the last time. Called every two seconds.
    pub async fn read_revocations(&self, db: &Db, now: DateTime<Utc>) -> Result<(), DbError> {
        self.read_from(&mut *self.horizon.lock().await, db, now).await
    }

    async fn read_from(
        &self,
        horizon: &mut Option<Horizon>,
        db: &Db,
        now: DateTime<Utc>,
    ) -> Result<(), DbError> {
        let (from, since) = (*horizon, now - Revocations::horizon());
        let read = async |tx: &mut _| revocations::read(tx, from, since).await;
        let (rows, next) = db.platform_read(Authority::credentials(), read).await?;
        let (tenants, credentials): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.subject == "tenant");
        if !tenants.is_empty() {
            self.directory.forget_all();
        }
        let read_row = |row: RevocationRow| {
            let subject = RevokedSubject::from_columns(row.tenant_id, &row.subject, row.subject_id);
            let unreadable = || DbError::Unreadable(format!("revocation of a {}", row.subject));
            Ok(Revocation { subject: subject.ok_or_else(unreadable)?, at: row.at })
        };
        let credentials = credentials.into_iter().map(read_row).collect::<Result<Vec<_>, DbError>>()?;
        self.revocations.apply(credentials, now);
        *horizon = Some(next);
        Ok(())
    }
}
