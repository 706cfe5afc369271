//! Doing a write once per `Idempotency-Key`: the kept answer commits with the effect, or not at all.

use bulkhead_auth::{Keyring, Purpose};
use bulkhead_db::{
    DbResult, PlatformTx, TenantTx,
    idempotency::{Key, KeyState, LockId, StoredAnswer},
    platform,
    tenant::{self, audit::Entry},
};
use chrono::{DateTime, Utc};

use crate::http::{answer::Answer, error::ApiError, extract::IdempotencyKey};

/// A transaction that keeps answers and audit entries: a tenant's, or the platform's for operators.
pub(crate) trait IdempotencyStore {
    /// Looks what is known about a key, without claiming it.
    async fn look(&mut self, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<KeyState>;
    /// Claims a key for this transaction and tells what is known about it.
    async fn claim(&mut self, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<KeyState>;
    /// Keeps an answer.
    async fn store(&mut self, key: &Key<'_>, answer: &StoredAnswer, now: DateTime<Utc>) -> DbResult<()>;
    /// Adds an entry to the audit log.
    async fn audit(&mut self, entry: &Entry<'_>) -> DbResult<()>;
}

impl IdempotencyStore for TenantTx {
    async fn look(&mut self, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<KeyState> {
        tenant::idempotency::look(self, key, now).await
    }

    async fn claim(&mut self, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<KeyState> {
        tenant::idempotency::claim(self, key, now).await
    }

    async fn store(&mut self, key: &Key<'_>, answer: &StoredAnswer, now: DateTime<Utc>) -> DbResult<()> {
        tenant::idempotency::store(self, key, answer, now).await
    }

    async fn audit(&mut self, entry: &Entry<'_>) -> DbResult<()> {
        tenant::audit::record(self, entry).await
    }
}

impl IdempotencyStore for PlatformTx {
    async fn look(&mut self, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<KeyState> {
        platform::idempotency::look(self, key, now).await
    }

    async fn claim(&mut self, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<KeyState> {
        platform::idempotency::claim(self, key, now).await
    }

    async fn store(&mut self, key: &Key<'_>, answer: &StoredAnswer, now: DateTime<Utc>) -> DbResult<()> {
        platform::idempotency::store(self, key, answer, now).await
    }

    async fn audit(&mut self, entry: &Entry<'_>) -> DbResult<()> {
        platform::audit::record(self, entry).await
    }
}

/// One request that is to happen once.
#[derive(Debug)]
pub(crate) struct IdempotentWrite<'a> {
    sent: &'a IdempotencyKey,
    operation: &'static str,
    principal: &'a str,
    /// What its key stands for; without a key it happens each time, and its body is not gone through.
    named: Option<Named>,
    now: DateTime<Utc>,
}

#[derive(Debug, PartialEq, Eq)]
struct Named {
    fingerprint: [u8; 32],
    lock: LockId,
}

impl<'a> IdempotentWrite<'a> {
    /// Names the request: who asks for what. Only an HMAC of its method, path, query, `If-Match` and body is kept, so a
    /// password in it stays unknown; and only an HMAC decides which lock is taken, so no client can choose one. A principal's
    /// id is its own in all tenants.
    pub(crate) fn new(
        keyring: &Keyring,
        sent: &'a IdempotencyKey,
        operation: &'static str,
        principal: &'a str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Self {
        let named = sent.key.as_deref().map(|key| {
            let parts = [principal, operation, key].map(str::as_bytes);
            Named {
                fingerprint: keyring.mac_of_parts(Purpose::Fingerprint, &[sent.target.as_bytes(), body]),
                lock: LockId::of(keyring.mac_of_parts(Purpose::IdempotencyLock, &parts)),
            }
        });
        Self { sent, operation, principal, named, now }
    }

    /// The answer, if the request was answered before. A handler asks for it ahead of expensive work, which a
    /// repeated request does not need. Whether the request is to be answered now is still for [`Self::run`] to say.
    pub(crate) async fn answered<Tx: IdempotencyStore>(
        &self,
        tx: &mut Tx,
    ) -> Result<Option<Answer>, ApiError> {
        let Some(key) = self.key() else { return Ok(None) };
        match tx.look(&key, self.now).await? {
            KeyState::Unused => Ok(None),
            known => replayed(known).map(Some),
        }
    }

    /// Runs the work, unless it was done before.
    pub(crate) async fn run<Tx: IdempotencyStore>(
        &self,
        tx: &mut Tx,
        work: impl AsyncFnOnce(&mut Tx) -> Result<Answer, ApiError>,
    ) -> Result<Answer, ApiError> {
        let Some(key) = self.key() else { return work(tx).await };
        match tx.claim(&key, self.now).await? {
            KeyState::Unused => {
                let answer = work(tx).await?;
                tx.store(&key, &answer.to_stored(), self.now).await?;
                Ok(answer)
            }
            known => replayed(known),
        }
    }

    fn key(&self) -> Option<Key<'_>> {
        let Named { fingerprint, lock } = self.named.as_ref()?;
        let key = self.sent.key.as_deref()?;
        Some(Key { principal: self.principal, route: self.operation, key, fingerprint, lock: *lock })
    }
}

/// The answer to a request whose key is known.
fn replayed(known: KeyState) -> Result<Answer, ApiError> {
    match known {
        KeyState::InProgress | KeyState::Unused => Err(ApiError::IdempotencyInProgress),
        KeyState::Mismatch => Err(ApiError::IdempotencyKeyReused),
        KeyState::Answered(stored) => Answer::replay(stored),
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_auth::RootKey;
    use bulkhead_domain::{Clock, SystemClock};

    use super::*;

    fn named(keyring: &Keyring, sent: &IdempotencyKey, body: &[u8]) -> Named {
        IdempotentWrite::new(keyring, sent, "rotate_api_key", "usr_1", body, SystemClock.now()).named.unwrap()
    }

    fn sent(target: &str) -> IdempotencyKey {
        IdempotencyKey { key: Some("key".to_owned()), target: target.to_owned() }
    }

    #[test]
    fn the_same_key_on_another_path_or_query_is_another_request_behind_the_same_lock() {
        let keyring = Keyring::new(&RootKey::from([1; 32])).unwrap();
        let here = sent("POST /v1/api-keys/key_1/rotate");
        let first = named(&keyring, &here, b"{}");
        assert_eq!(first.fingerprint, named(&keyring, &here, b"{}").fingerprint);
        for other in [
            "POST /v1/api-keys/key_2/rotate",
            "POST /v1/api-keys/key_1/rotate?at=1",
            "PUT /v1/api-keys/key_1/rotate",
        ] {
            let other = sent(other);
            let other = named(&keyring, &other, b"{}");
            assert_ne!(first.fingerprint, other.fingerprint);
            assert_eq!(first.lock, other.lock);
        }
        assert_ne!(first.fingerprint, named(&keyring, &here, b"{ }").fingerprint);
        let elsewhere = Keyring::new(&RootKey::from([2; 32])).unwrap();
        assert_ne!(first.lock, named(&elsewhere, &here, b"{}").lock);
    }
}
