//! Doing a write once per `Idempotency-Key`: the kept answer commits with the effect, or not at all.

use bulkhead_auth::{Keyring, Purpose};
use bulkhead_db::{
    DbResult, PlatformTx, TenantTx,
    idempotency::{Key, LockId, Seen, StoredAnswer},
    platform, tenant,
};
use chrono::{DateTime, Utc};

use crate::{answer::Answer, error::ApiError, extract::Intent};

/// A transaction that keeps answers: a tenant's, or the platform's for operators.
pub(crate) trait Keeps {
    /// Claims a key for this transaction and tells what is known about it.
    async fn claim(&mut self, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<Seen>;
    /// Keeps an answer.
    async fn store(&mut self, key: &Key<'_>, answer: &StoredAnswer, now: DateTime<Utc>) -> DbResult<()>;
}

impl Keeps for TenantTx {
    async fn claim(&mut self, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<Seen> {
        tenant::idempotency::claim(self, key, now).await
    }

    async fn store(&mut self, key: &Key<'_>, answer: &StoredAnswer, now: DateTime<Utc>) -> DbResult<()> {
        tenant::idempotency::store(self, key, answer, now).await
    }
}

impl Keeps for PlatformTx {
    async fn claim(&mut self, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<Seen> {
        platform::idempotency::claim(self, key, now).await
    }

    async fn store(&mut self, key: &Key<'_>, answer: &StoredAnswer, now: DateTime<Utc>) -> DbResult<()> {
        platform::idempotency::store(self, key, answer, now).await
    }
}

/// One request that is to happen once.
#[derive(Debug)]
pub(crate) struct Once<'a> {
    intent: &'a Intent,
    principal: &'a str,
    fingerprint: [u8; 32],
    lock: LockId,
    now: DateTime<Utc>,
}

impl<'a> Once<'a> {
    /// Names the request: who asks for what. Only an HMAC of its method, path, query and body is kept, so a password in it
    /// stays unknown; and only an HMAC decides which lock is taken, so no client can choose one. A principal's id is its own
    /// in all tenants.
    pub(crate) fn new(
        keyring: &Keyring,
        intent: &'a Intent,
        principal: &'a str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Self {
        let fingerprint = keyring.mac_of_parts(Purpose::Fingerprint, &[intent.target.as_bytes(), body]);
        let key = intent.key.as_deref().unwrap_or_default();
        let named = [principal, intent.operation, key].map(str::as_bytes);
        let lock = LockId::of(keyring.mac_of_parts(Purpose::IdempotencyLock, &named));
        Self { intent, principal, fingerprint, lock, now }
    }

    /// Runs the work, unless it was done before.
    pub(crate) async fn run<Tx: Keeps>(
        &self,
        tx: &mut Tx,
        work: impl AsyncFnOnce(&mut Tx) -> Result<Answer, ApiError>,
    ) -> Result<Answer, ApiError> {
        let Some(key) = self.intent.key.as_deref() else { return work(tx).await };
        let key = Key {
            principal: self.principal,
            route: self.intent.operation,
            key,
            fingerprint: &self.fingerprint,
            lock: self.lock,
        };
        match tx.claim(&key, self.now).await? {
            Seen::InProgress => Err(ApiError::IdempotencyInProgress),
            Seen::Differently => Err(ApiError::IdempotencyKeyReused),
            Seen::Answered(stored) => Answer::replay(stored),
            Seen::Never => {
                let answer = work(tx).await?;
                tx.store(&key, &answer.to_stored(), self.now).await?;
                Ok(answer)
            }
        }
    }
}
