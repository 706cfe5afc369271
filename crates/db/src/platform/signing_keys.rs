//! The keys that sign access tokens: public parts in the clear, private parts sealed.
//!
//! Owns the states of a key and the only ways between them: made as standby, active, retired, deleted. Each way is one
//! transaction that locks the keys it looks at, so of several that are begun at once each finds what the one before it has
//! left, and one that is broken off has changed nothing. Times are the database's. How long a key is published ahead, and kept
//! behind, is told by `bulkhead-auth`. Refuses to sign with a key that was not published, unless the one before it was
//! withdrawn.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    dsl::sql,
    prelude::*,
    sql_types::{Bool, Double},
};
use serde_json::Value;
use std::fmt;

use crate::{
    engine::{error::DbResult, scope::PlatformTx},
    schema::{clock_timestamp, platform::signing_keys},
};

/// The key is published, so that all who verify tokens know it, and signs nothing yet.
pub const STANDBY: &str = "standby";
/// The key that signs. There is at most one.
pub const ACTIVE: &str = "active";
/// The key signs no more. It is published while tokens that it has signed can live.
pub const RETIRED: &str = "retired";

/// A stored signing key.
#[derive(Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = signing_keys, check_for_backend(diesel::pg::Pg))]
pub struct StoredSigningKey {
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// `standby`, `active` or `retired`.
    pub state: String,
    /// The public part.
    pub public_jwk: Value,
    /// The private part, sealed; empty when it is retired.
    pub sealed_private: Vec<u8>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Since when it signs; `None` while it does not, and for one that an older program has made.
    pub activated_at: Option<DateTime<Utc>>,
    /// Since when it signs no more.
    pub retired_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for StoredSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredSigningKey({} {})", self.kid, self.state)
    }
}

/// A key that was made and is not stored yet.
#[derive(Clone)]
pub struct NewSigningKey {
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// The public part.
    pub public_jwk: Value,
    /// The private part, sealed.
    pub sealed_private: Vec<u8>,
}

impl fmt::Debug for NewSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewSigningKey({})", self.kid)
    }
}

/// What became of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The standby key signs.
    Done {
        /// The key that signs now.
        active: String,
    },
    /// The key that was to be replaced is not the one that signs.
    NotActive,
    /// No key was published ahead.
    NoStandby,
    /// The standby key was not published for long enough.
    TooEarly {
        /// From when on it is.
        from: DateTime<Utc>,
    },
}

/// What became of a withdrawal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// The key is gone.
    Done {
        /// The state that it had.
        was: String,
        /// The key that signs now, when the one that was withdrawn did.
        active: Option<String>,
    },
    /// There is no such key.
    Unknown,
    /// It signs, and there is none to take its place.
    NoSuccessor,
}

/// Every key there is, the oldest first.
pub async fn list(tx: &mut PlatformTx) -> DbResult<Vec<StoredSigningKey>> {
    tx.tx
        .load(signing_keys::table.order(signing_keys::created_at.asc()).select(StoredSigningKey::as_select()))
        .await
}

/// The keys that nodes know and publish: all but those that were retired longer than `kept` ago.
pub async fn published(tx: &mut PlatformTx, kept: TimeDelta) -> DbResult<Vec<StoredSigningKey>> {
    let is_kept = sql::<Bool>("coalesce(retired_at > now() - make_interval(secs => ");
    let rows = signing_keys::table.filter(is_kept.bind::<Double, _>(kept.as_seconds_f64()).sql("), true)"));
    tx.tx.load(rows.order(signing_keys::created_at.asc()).select(StoredSigningKey::as_select())).await
}

/// Whether tokens of this key are good: it signs, or was retired no longer than `kept` ago.
pub async fn is_trusted(tx: &mut PlatformTx, kid: &str, kept: TimeDelta) -> DbResult<bool> {
    let found = published(tx, kept).await?;
    Ok(found.iter().any(|key| key.kid == kid && key.state != STANDBY))
}

/// Adds the first active key, unless there is one: of several nodes that start at once, one wins and the others read
/// its key.
pub async fn insert_first(
    tx: &mut PlatformTx,
    kid: &str,
    public_jwk: &Value,
    sealed_private: &[u8],
    at: DateTime<Utc>,
) -> DbResult<bool> {
    let row = (
        signing_keys::kid.eq(kid),
        signing_keys::state.eq(ACTIVE),
        signing_keys::public_jwk.eq(public_jwk),
        signing_keys::sealed_private.eq(sealed_private),
        signing_keys::created_at.eq(at),
        signing_keys::activated_at.eq(at),
    );
    let statement = diesel::insert_into(signing_keys::table).values(row).on_conflict_do_nothing();
    Ok(tx.tx.execute(statement).await? > 0)
}

/// Adds a key that is published and signs nothing yet, unless there is one.
pub async fn insert_standby(tx: &mut PlatformTx, key: &NewSigningKey) -> DbResult<bool> {
    let row = (
        signing_keys::kid.eq(&key.kid),
        signing_keys::state.eq(STANDBY),
        signing_keys::public_jwk.eq(&key.public_jwk),
        signing_keys::sealed_private.eq(&key.sealed_private),
        signing_keys::created_at.eq(clock_timestamp()),
    );
    let statement = diesel::insert_into(signing_keys::table).values(row).on_conflict_do_nothing();
    Ok(tx.tx.execute(statement).await? > 0)
}

/// Lets the standby key sign in place of the key `from`, if it has been published for `ahead`. The private part of the key that
/// is replaced goes at once: nothing is to be signed with it any more.
pub async fn rotate(tx: &mut PlatformTx, from: &str, ahead: TimeDelta) -> DbResult<Rotation> {
    let keys = lock(tx).await?;
    if !keys.iter().any(|key| key.kid == from && key.state == ACTIVE) {
        return Ok(Rotation::NotActive);
    }
    let Some(standby) = keys.iter().find(|key| key.state == STANDBY) else { return Ok(Rotation::NoStandby) };
    let from_when = standby.created_at + ahead;
    let at: DateTime<Utc> = tx.tx.one(signing_keys::table.find(from).select(clock_timestamp())).await?;
    if at < from_when {
        return Ok(Rotation::TooEarly { from: from_when });
    }
    let retired = (
        signing_keys::state.eq(RETIRED),
        signing_keys::retired_at.eq(clock_timestamp().nullable()),
        signing_keys::sealed_private.eq(Vec::<u8>::new()),
    );
    tx.tx.execute(diesel::update(signing_keys::table.find(from)).set(retired)).await?;
    activate(tx, &standby.kid).await?;
    Ok(Rotation::Done { active: standby.kid.clone() })
}

/// Deletes a key, in whatever state it is: no node knows it any more from its next look on. In place of the one that signs the
/// standby key does, however short it was published; without one, `spare`.
pub async fn withdraw(tx: &mut PlatformTx, kid: &str, spare: Option<&NewSigningKey>) -> DbResult<Withdrawal> {
    let keys = lock(tx).await?;
    let Some(key) = keys.iter().find(|key| key.kid == kid) else { return Ok(Withdrawal::Unknown) };
    let was = key.state.clone();
    if was != ACTIVE {
        tx.tx.execute(diesel::delete(signing_keys::table.find(kid))).await?;
        return Ok(Withdrawal::Done { was, active: None });
    }
    if !keys.iter().any(|key| key.state == STANDBY) {
        let Some(spare) = spare else { return Ok(Withdrawal::NoSuccessor) };
        // Adds nothing when another process has put a standby key there since the look: then that one signs.
        insert_standby(tx, spare).await?;
    }
    tx.tx.execute(diesel::delete(signing_keys::table.find(kid))).await?;
    let standby = signing_keys::table.filter(signing_keys::state.eq(STANDBY));
    let active: String = tx.tx.one(standby.select(signing_keys::kid)).await?;
    activate(tx, &active).await?;
    Ok(Withdrawal::Done { was, active: Some(active) })
}

/// Deletes the keys that were retired longer than `kept` ago, whose tokens have all expired; which ones it were. One that was
/// retired by hand begins its time now.
pub async fn delete_outlived(tx: &mut PlatformTx, kept: TimeDelta) -> DbResult<Vec<String>> {
    let unstamped = signing_keys::table
        .filter(signing_keys::state.eq(RETIRED))
        .filter(signing_keys::retired_at.is_null());
    let stamp = signing_keys::retired_at.eq(clock_timestamp().nullable());
    tx.tx.execute(diesel::update(unstamped).set(stamp)).await?;
    let is_over = sql::<Bool>("retired_at <= now() - make_interval(secs => ");
    let outlived = signing_keys::table
        .filter(signing_keys::state.eq(RETIRED))
        .filter(is_over.bind::<Double, _>(kept.as_seconds_f64()).sql(")"));
    tx.tx.load(diesel::delete(outlived).returning(signing_keys::kid)).await
}

async fn activate(tx: &mut PlatformTx, kid: &str) -> DbResult<()> {
    let active =
        (signing_keys::state.eq(ACTIVE), signing_keys::activated_at.eq(clock_timestamp().nullable()));
    tx.tx.execute(diesel::update(signing_keys::table.find(kid)).set(active)).await?;
    Ok(())
}

/// Every key, locked until the transaction ends, as it is when the lock is had.
async fn lock(tx: &mut PlatformTx) -> DbResult<Vec<StoredSigningKey>> {
    let keys = signing_keys::table.order(signing_keys::kid.asc());
    tx.tx.load(keys.select(StoredSigningKey::as_select()).for_update()).await
}
