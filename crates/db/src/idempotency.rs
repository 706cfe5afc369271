//! Idempotency: carries a request out once, however often it is sent with the same key.
//!
//! The stored answer commits together with the effect. Tenants' keys live in the tenant's schema, operators' keys in
//! the platform's; the statements are the same. An advisory lock that ends with the transaction keeps two requests with
//! the same key apart: the second is told at once, instead of waiting for a lock.

use chrono::{DateTime, TimeDelta, Utc};

/// For how long an answer is kept.
pub const KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// Names one request of one principal, however often it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The principal: the subject of its credential.
    pub principal: &'a str,
    /// The operation's id in the API.
    pub route: &'static str,
    /// The caller's key.
    pub key: &'a str,
    /// An HMAC of the request, to notice a key that is used for something else.
    pub fingerprint: &'a [u8],
    /// The lock that keeps two requests with this key apart.
    pub lock: LockId,
}

/// An advisory lock of this module's own class, which no other part of the product takes. Its number within the class
/// comes from a keyed hash, so a client cannot choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockId(pub(crate) i64);

impl LockId {
    /// The class: the upper 16 bits of the lock's number.
    pub(crate) const CLASS: i64 = 0x6964;

    /// The lock of the request with this HMAC. Two requests share a lock by chance with a probability of 2^-48; then
    /// the second is [`KeyState::InProgress`] while the first is being answered.
    pub const fn of(mac: [u8; 32]) -> Self {
        let [a, b, c, d, e, f, ..] = mac;
        Self(Self::CLASS << 48 | i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }
}

/// An answer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The status.
    pub status: u16,
    /// The `Location` header.
    pub location: Option<String>,
    /// The body; `None` when it showed a secret.
    pub body: Option<String>,
}

/// What is known about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Nothing: go ahead, and call `store` before the transaction ends.
    Unused,
    /// Another request with this key is being answered right now.
    InProgress,
    /// It was used for a different request.
    Mismatch,
    /// It was answered: this is the answer.
    Answered(StoredAnswer),
}

pub(crate) type Row = (Vec<u8>, i16, Option<String>, Option<String>, DateTime<Utc>);

/// What a stored row says about a request with this fingerprint.
pub(crate) fn judge(row: Option<Row>, fingerprint: &[u8], now: DateTime<Utc>) -> KeyState {
    match row {
        Some((_, _, _, _, created_at)) if created_at + KEPT_FOR <= now => KeyState::Unused,
        Some((stored, ..)) if stored != fingerprint => KeyState::Mismatch,
        Some((_, status, location, body, _)) => KeyState::Answered(StoredAnswer {
            status: u16::try_from(status).unwrap_or_default(),
            location,
            body,
        }),
        None => KeyState::Unused,
    }
}

/// The two queries, for the transaction type and the table of one side.
macro_rules! idempotency_queries {
    ($tx:ty, $table:path) => {
        use chrono::{DateTime, Utc};
        use diesel::prelude::*;
        use diesel::sql_types::{BigInt, Bool};
        use $table as keys;

        use crate::{
            engine::error::DbResult,
            idempotency::{Key, KeyState, Row, StoredAnswer, judge},
        };

        #[derive(QueryableByName)]
        struct Locked {
            #[diesel(sql_type = Bool)]
            locked: bool,
        }

        /// Looks whether a key was answered, before work that would be for nothing. Only `claim` tells whether to go ahead.
        pub async fn look(tx: &mut $tx, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<KeyState> {
            let found = keys::table.find((key.principal, key.route, key.key)).select((
                keys::fingerprint,
                keys::status,
                keys::location,
                keys::body,
                keys::created_at,
            ));
            let row: Option<Row> = tx.tx.first(found).await?;
            Ok(judge(row, key.fingerprint, now))
        }

        /// Claims a key for this transaction and tells what is known about it.
        pub async fn claim(tx: &mut $tx, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<KeyState> {
            let lock = diesel::sql_query("SELECT pg_try_advisory_xact_lock($1) AS locked");
            let lock: Locked = tx.tx.one(lock.bind::<BigInt, _>(key.lock.0)).await?;
            if !lock.locked {
                return Ok(KeyState::InProgress);
            }
            look(tx, key, now).await
        }

        /// Keeps the answer, in place of one that has expired.
        pub async fn store(
            tx: &mut $tx,
            key: &Key<'_>,
            answer: &StoredAnswer,
            now: DateTime<Utc>,
        ) -> DbResult<()> {
            let values = (
                keys::fingerprint.eq(key.fingerprint),
                keys::status.eq(i16::try_from(answer.status).unwrap_or_default()),
                keys::location.eq(&answer.location),
                keys::body.eq(&answer.body),
                keys::created_at.eq(now),
            );
            let row = (
                keys::principal.eq(key.principal),
                keys::route.eq(key.route),
                keys::key.eq(key.key),
                values.clone(),
            );
            let statement = diesel::insert_into(keys::table)
                .values(row)
                .on_conflict((keys::principal, keys::route, keys::key))
                .do_update()
                .set(values);
            tx.tx.execute(statement).await?;
            Ok(())
        }
    };
}
pub(crate) use idempotency_queries;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_lock_of_a_key_is_one_that_something_else_takes() {
        for mac in [[0; 32], [0xff; 32], [0x62; 32]] {
            assert_eq!(LockId::of(mac).0 >> 48, LockId::CLASS);
        }
        for other in [
            crate::fleet::bootstrap::LOCK,
            crate::fleet::migrate::PLATFORM_LOCK,
            crate::fleet::migrate::FLEET_LOCK,
        ] {
            assert_ne!(other >> 48, LockId::CLASS);
        }
    }

    #[test]
    fn different_hashes_are_different_locks() {
        let (mut one, two) = ([7; 32], [7; 32]);
        assert_eq!(LockId::of(one), LockId::of(two));
        one[5] = 8;
        assert_ne!(LockId::of(one), LockId::of(two));
    }
}
