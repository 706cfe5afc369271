//! Sessions: one login of one person, kept alive by refresh tokens that are replaced each time they are used.
//!
//! A tenant's people have theirs in the tenant's schema, operators in the platform's; the statements are the same. Every time in
//! them is the database's, and so is the time that a token counts from: it is taken in a statement that begins when the locks
//! which prove the token are held. Lock the person before the session: a transaction that removes a person locks them in that
//! order.

use std::fmt;

use bulkhead_domain::SessionId;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Timestamptz, Uuid as SqlUuid},
};

/// A session whose token was replaced.
#[derive(Clone, Copy, Debug, Queryable)]
pub struct Rotated {
    /// When: what is proven by the token that was in force counts from here.
    pub at: DateTime<Utc>,
    /// When the session ends by itself.
    pub expires_at: DateTime<Utc>,
}

/// A session's row, locked until the transaction ends.
#[derive(Clone, Queryable)]
pub struct Locked {
    /// HMAC-SHA-256 of the token in force.
    pub token_mac: Vec<u8>,
    /// HMAC-SHA-256 of the token that was in force before, if there was one.
    pub previous_mac: Option<Vec<u8>>,
    /// When the token in force replaced it.
    pub rotated_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was ended.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The time by the database's clock: read before a wait for the row's lock, and after every lock that the
    /// transaction took earlier.
    pub now: DateTime<Utc>,
}

/// HMACs stay out of logs.
impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked")
    }
}

/// How many living sessions one person may have. The log-in that opens one more ends the oldest.
pub const MOST: i64 = 100;

/// A session that was opened.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Opened {
    /// When: what is proven by the log-in counts from here.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    /// When the session ends by itself.
    #[diesel(sql_type = Timestamptz)]
    pub expires_at: DateTime<Utc>,
}

/// The row of a session that has just been ended.
#[derive(QueryableByName)]
pub(crate) struct Ended {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: uuid::Uuid,
}

/// From where a person has logged in.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// The `User-Agent` that the client has sent, if it has sent one.
    pub user_agent: Option<&'a str>,
    /// The client's address.
    pub address: &'a str,
}

/// A living session, as its person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingSession {
    /// Its id.
    pub id: SessionId,
    /// The `User-Agent` of the log-in.
    pub user_agent: Option<String>,
    /// The address of the log-in.
    pub address: Option<String>,
    /// When the person has logged in.
    pub created_at: DateTime<Utc>,
    /// When its tokens were last exchanged.
    pub used_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
}

/// The columns of a [`LivingSession`].
pub(crate) type LivingRow =
    (uuid::Uuid, Option<String>, Option<String>, DateTime<Utc>, DateTime<Utc>, DateTime<Utc>);

impl From<LivingRow> for LivingSession {
    fn from((id, user_agent, address, created_at, used_at, expires_at): LivingRow) -> Self {
        Self { id: SessionId::from_uuid(id), user_agent, address, created_at, used_at, expires_at }
    }
}

/// The queries, for the transaction type, the table, the ids and the column that holds them of one side.
macro_rules! session_queries {
    ($tx:ty, $table:path, $name:literal, $person:ty, $person_id:ident, $make_room:literal) => {
        use bulkhead_domain::SessionId;
        use diesel::{
            prelude::*,
            sql_types::{BigInt, Binary, Nullable, Text, Uuid as SqlUuid},
        };
        use $table as sessions;

        use crate::{
            engine::{
                error::DbResult,
                page::{Page, PageRequest},
            },
            schema::clock_timestamp,
            sessions::{Device, Ended, LivingRow, LivingSession, Locked, MOST, Opened, Rotated},
        };

        /// Opens a session of this many seconds with its first refresh token.
        pub async fn insert(
            tx: &mut $tx,
            id: SessionId,
            person: $person,
            token_mac: &[u8],
            seconds: i64,
            from: &Device<'_>,
        ) -> DbResult<Opened> {
            let query = diesel::sql_query(
                concat!("INSERT INTO ", $name, " (id, ", stringify!($person_id), ", token_mac, rotated_at, created_at, expires_at, \
                 user_agent, address) SELECT $1, $2, $3, at, at, at + $4 * interval '1 second', $5, $6 \
                 FROM (SELECT clock_timestamp()) AS clock (at) RETURNING created_at AS at, expires_at"),
            );
            let query = query.bind::<SqlUuid, _>(id.uuid()).bind::<SqlUuid, _>(person.uuid());
            let query = query.bind::<Binary, _>(token_mac).bind::<BigInt, _>(seconds);
            tx.tx.one(query.bind::<Nullable<Text>, _>(from.user_agent).bind::<Text, _>(from.address)).await
        }

        /// A person's living sessions, in the order in which they were opened.
        pub async fn list(tx: &mut $tx, person: $person, page: PageRequest) -> DbResult<Page<LivingSession>> {
            let columns = (
                sessions::id,
                sessions::user_agent,
                sessions::address,
                sessions::created_at,
                sessions::rotated_at,
                sessions::expires_at,
            );
            let mut query = sessions::table
                .filter(sessions::$person_id.eq(person.uuid()))
                .filter(sessions::revoked_at.is_null())
                .filter(sessions::expires_at.gt(clock_timestamp()))
                .select(columns)
                .order(sessions::id.asc())
                .limit(page.probe())
                .into_boxed();
            if let Some(after) = page.after {
                query = query.filter(sessions::id.gt(after));
            }
            let rows: Vec<LivingRow> = tx.tx.load(query).await?;
            Ok(Page::cut(rows.into_iter().map(LivingSession::from).collect(), page))
        }

        /// Ends a person's living sessions but the one to be kept. Which were ended: revoke each in the same
        /// transaction. Lock the person before.
        pub async fn end_others(
            tx: &mut $tx,
            person: $person,
            kept: Option<SessionId>,
        ) -> DbResult<Vec<SessionId>> {
            let query = diesel::sql_query(
                concat!("UPDATE ", $name, " SET revoked_at = clock_timestamp() WHERE ", stringify!($person_id), " = $1 AND id IS DISTINCT FROM $2 AND revoked_at IS NULL RETURNING id"),
            );
            let kept = kept.map(SessionId::uuid);
            let query = query.bind::<SqlUuid, _>(person.uuid()).bind::<Nullable<SqlUuid>, _>(kept);
            let ended: Vec<Ended> = tx.tx.load(query).await?;
            Ok(ended.into_iter().map(|row| SessionId::from_uuid(row.id)).collect())
        }

        /// Whether a session is this person's and alive.
        pub async fn is_living(tx: &mut $tx, person: $person, id: SessionId) -> DbResult<bool> {
            let row = sessions::table
                .find(id.uuid())
                .filter(sessions::$person_id.eq(person.uuid()))
                .filter(sessions::revoked_at.is_null())
                .filter(sessions::expires_at.gt(clock_timestamp()));
            let found: Option<uuid::Uuid> = tx.tx.first(row.select(sessions::id)).await?;
            Ok(found.is_some())
        }

        /// Ends the oldest living sessions of a person beyond [`MOST`](crate::sessions::MOST), and removes what is left of those that are over: expired, or
        /// ended so long ago that no token of theirs can be good. Which were ended: revoke each in the same
        /// transaction.
        pub async fn make_room(tx: &mut $tx, person: $person) -> DbResult<Vec<SessionId>> {
            let query = diesel::sql_query(include_str!($make_room));
            let ended: Vec<Ended> = tx.tx.load(query.bind::<SqlUuid, _>(person.uuid()).bind::<BigInt, _>(MOST)).await?;
            Ok(ended.into_iter().map(|row| SessionId::from_uuid(row.id)).collect())
        }

        /// Replaces the token in force; `None` when `current` is not that, or the session has ended. One statement, so that of
        /// two callers with the same token exactly one replaces it.
        pub async fn rotate(
            tx: &mut $tx,
            id: SessionId,
            current: &[u8],
            next: &[u8],
        ) -> DbResult<Option<Rotated>> {
            let row = sessions::table
                .filter(sessions::id.eq(id.uuid()))
                .filter(sessions::token_mac.eq(current))
                .filter(sessions::revoked_at.is_null())
                .filter(sessions::expires_at.gt(clock_timestamp()));
            let change = (
                sessions::previous_mac.eq(current),
                sessions::token_mac.eq(next),
                sessions::rotated_at.eq(clock_timestamp()),
            );
            let rotated = diesel::update(row).set(change).returning((sessions::rotated_at, sessions::expires_at));
            tx.tx.first(rotated).await
        }

        /// The session, locked until the transaction ends.
        pub async fn lock(tx: &mut $tx, id: SessionId) -> DbResult<Option<Locked>> {
            let columns = (
                sessions::token_mac,
                sessions::previous_mac,
                sessions::rotated_at,
                sessions::expires_at,
                sessions::revoked_at,
                clock_timestamp(),
            );
            tx.tx.first(sessions::table.find(id.uuid()).select(columns).for_no_key_update()).await
        }

        /// Ends a session; whether it was alive. Revoke it in the same transaction, so that nodes that have cached its
        /// tokens hear of it.
        pub async fn revoke(tx: &mut $tx, id: SessionId) -> DbResult<bool> {
            let row = sessions::table.filter(sessions::id.eq(id.uuid())).filter(sessions::revoked_at.is_null());
            Ok(tx.tx.execute(diesel::update(row).set(sessions::revoked_at.eq(clock_timestamp().nullable()))).await?
                > 0)
        }
    };
}
pub(crate) use session_queries;
