//! Checking an API key against its row.
//!
//! Owns the way from the text of a key to what it is good for: the stored HMAC, the secret before the last rotation for as long as
//! that is good beside it, whether the key is in force, what it holds and from where it works. Refuses to tell a caller which of
//! these a key has failed.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bulkhead_db::{
    Db, DbError,
    platform::tenants::DirectoryEntry,
    tenant::credentials::{self, ApiKeyCredential},
};
use bulkhead_domain::{ApiKeyId, Evidence, Limit, Proven, TenantId, TenantStatus, api_key::ApiKey};
use chrono::{DateTime, Utc};

use crate::{
    api_key,
    authenticator::{AuthError, Authenticator},
    jwt::MAX_LIFETIME,
    key_authority,
    keyring::Keyring,
    principal::{KeyBounds, KeyTerms, Principal, Verified},
    revocation::Since,
};

/// The row of a key whose text was shown.
struct Recognised {
    tenant: Proven<TenantId>,
    entry: DirectoryEntry,
    stored: ApiKeyCredential,
    /// Until when the secret is good that was shown, if that is the one before the last rotation.
    good_until: Option<DateTime<Utc>>,
}

/// An API key that was found where none belongs.
#[derive(Debug)]
pub struct Leaked {
    /// Whose it is.
    pub tenant: Proven<TenantId>,
    /// Which one it is.
    pub id: ApiKeyId,
    key: ApiKey,
}

impl Leaked {
    /// Whether it is the key with this stored HMAC.
    pub fn is(&self, keyring: &Keyring, mac: &[u8]) -> bool {
        api_key::matches(keyring, &self.key, mac)
    }
}

impl Authenticator {
    /// Verifies a key that is not remembered. `generation` is its tenant's, taken before.
    pub(crate) async fn verify_api_key(
        &self,
        db: &Db,
        key: &ApiKey,
        (is_fresh, generation, from): (bool, u64, Option<IpAddr>),
        ask: impl FnOnce() -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Verified, AuthError> {
        // Taken before the first look-up, like the generation.
        let since = Since::LookedUp(self.view.revocations.knowledge());
        let Recognised { tenant, stored, good_until, .. } =
            self.recognise(db, key, is_fresh, ask, now).await?;
        if good_until.is_some_and(|end| end <= now) || !key_authority::is_in_force(&stored.link, now) {
            return Err(AuthError::Lapsed);
        }
        let name = stored.link.role.name;
        let role = self.access.own_role(name, &stored.link.role.entries);
        let authority = key_authority::of(db, &self.access, tenant, stored.link, now).await?;
        let bounds = bounds(stored.allowed_addresses.as_deref(), stored.requests_per_minute);
        let terms = KeyTerms { generation, bounds };
        if terms.admits(from) {
            self.key_uses.note(tenant, key.id, stored.last_used_at, now);
        }
        let principal = Principal::ApiKey { tenant, id: key.id, role: role.within(authority.permissions) };
        let expires_at = [good_until, authority.ends_at].into_iter().flatten().min();
        Ok(Verified { principal, since, expires_at: expires_at.unwrap_or(now + MAX_LIFETIME), key: terms })
    }

    /// Finds a key's row, if the text is that key. It may be one that is good no more.
    async fn recognise(
        &self,
        db: &Db,
        key: &ApiKey,
        is_fresh: bool,
        ask: impl FnOnce() -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Recognised, AuthError> {
        ask().map_err(|retry_after| AuthError::Limited { retry_after })?;
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
        let is_current = api_key::matches(&self.keyring, key, &stored.mac);
        let previous = stored.previous.as_ref().filter(|(mac, _)| api_key::matches(&self.keyring, key, mac));
        let good_until = match previous {
            _ if is_current => None,
            Some((_, until)) => Some(*until),
            None => return Err(AuthError::Invalid),
        };
        let tenant = Proven::on(Evidence::ApiKey, key.tenant);
        Ok(Recognised { tenant, entry, stored, good_until })
    }

    /// Whose key a text is that was found where none belongs. A key that is good no more is recognised, too.
    ///
    /// `ask` is called before anything is looked up, and may refuse by saying when to come back.
    pub async fn recognise_leaked(
        &self,
        db: &Db,
        text: &str,
        ask: impl FnOnce() -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Leaked, AuthError> {
        let key = ApiKey::parse(text).map_err(|_malformed| AuthError::Invalid)?;
        let found = Box::pin(self.recognise(db, &key, false, ask, now)).await?;
        if found.entry.status == TenantStatus::Deleted {
            return Err(AuthError::Lapsed);
        }
        Ok(Leaked { tenant: found.tenant, id: key.id, key })
    }

    /// Writes when keys were last used, as far as this node has seen it since the last time. How many were written.
    pub async fn write_key_uses(&self, db: &Db) -> usize {
        self.key_uses.write(db).await
    }
}

/// What bounds a key besides. A network that cannot be read lets nobody in.
fn bounds(allowed: Option<&[String]>, per_minute: Option<i32>) -> Option<Arc<KeyBounds>> {
    let allowed = allowed.map(|ranges| ranges.iter().filter_map(|range| range.parse().ok()).collect());
    let per_minute = per_minute.map(|most| u32::try_from(most).unwrap_or(1).max(1));
    let limit = per_minute.map(|per_minute| Limit { per_minute, burst: per_minute });
    (allowed.is_some() || limit.is_some()).then(|| Arc::new(KeyBounds { allowed, limit }))
}
