//! Doing something once, however often it is asked for.
//!
//! The stored answer commits together with the effect. Tenants' keys live in the tenant's schema, operators' keys in
//! the platform's; the statements are the same. An advisory lock that ends with the transaction keeps two requests with
//! the same key apart: the second is told at once, instead of waiting for a lock.

use chrono::{DateTime, TimeDelta, Utc};

/// For how long an answer is kept.
pub const KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// Names one intention of one principal.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Who asks: the subject of the credential.
    pub principal: &'a str,
    /// The operation's id in the API.
    pub route: &'static str,
    /// The caller's key.
    pub key: &'a str,
    /// An HMAC of the request, to notice a key that is used for something else.
    pub fingerprint: &'a [u8],
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
pub enum Seen {
    /// Nothing: go ahead, and call `store` before the transaction ends.
    Never,
    /// Another request with this key is being answered right now.
    InProgress,
    /// It was used for a different request.
    Differently,
    /// It was answered: this is the answer.
    Answered(StoredAnswer),
}

pub(crate) type Row = (Vec<u8>, i16, Option<String>, Option<String>, DateTime<Utc>);

/// Judges a stored row.
pub(crate) fn judge(row: Option<Row>, fingerprint: &[u8], now: DateTime<Utc>) -> Seen {
    match row {
        Some((_, _, _, _, created_at)) if created_at + KEPT_FOR <= now => Seen::Never,
        Some((stored, ..)) if stored != fingerprint => Seen::Differently,
        Some((_, status, location, body, _)) => {
            Seen::Answered(StoredAnswer { status: u16::try_from(status).unwrap_or_default(), location, body })
        }
        None => Seen::Never,
    }
}

/// The two queries, for the transaction type and the table of one side.
macro_rules! idempotency_queries {
    ($tx:ty, $table:path) => {
        use chrono::{DateTime, Utc};
        use diesel::prelude::*;
        use diesel::sql_types::{Bool, Text};
        use $table as keys;

        use crate::{
            error::DbResult,
            idempotency::{Key, Row, Seen, StoredAnswer, judge},
        };

        #[derive(QueryableByName)]
        struct Locked {
            #[diesel(sql_type = Bool)]
            locked: bool,
        }

        /// Claims a key for this transaction and tells what is known about it.
        pub async fn claim(tx: &mut $tx, key: &Key<'_>, now: DateTime<Utc>) -> DbResult<Seen> {
            // The schema is part of the lock's name, so tenants do not meet in it.
            let lock = diesel::sql_query(
                "SELECT pg_try_advisory_xact_lock(hashtextextended(\
                 concat_ws(E'\\x1f', current_schema(), $1, $2, $3), 0)) AS locked",
            )
            .bind::<Text, _>(key.principal)
            .bind::<Text, _>(key.route)
            .bind::<Text, _>(key.key);
            let lock: Locked = tx.tx.one(lock).await?;
            if !lock.locked {
                return Ok(Seen::InProgress);
            }
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
