//! Secrets that work once, of the tenant's people. Only an HMAC of a secret is kept; the secret is shown once, to the caller that
//! asked for it. Using one removes its row: of two callers that use the same one, exactly one finds it.

use bulkhead_domain::{OneTimeTokenId, UserId};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Text, Timestamptz, Uuid as SqlUuid},
};

use crate::{
    engine::{error::DbResult, scope::TenantTx},
    schema::{clock_timestamp, tenant::one_time_tokens},
};

/// What a token of this table is for: a person sets a new password with it.
const PASSWORD_RESET: &str = "password_reset";

/// How many that have expired are removed when one is made.
const SWEPT: i64 = 100;

/// What a new token is made of.
#[derive(Clone, Copy)]
pub struct NewReset<'a> {
    /// Its id.
    pub id: OneTimeTokenId,
    /// Whose password may be set with it.
    pub user: UserId,
    /// HMAC-SHA-256 of the token.
    pub mac: &'a [u8],
    /// Who has asked for it: the subject of a credential.
    pub created_by: &'a str,
    /// How long it works, in seconds.
    pub seconds: i64,
}

#[derive(QueryableByName)]
struct Made {
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
}

/// Adds a token for a new password, and says when it stops working. The person's earlier ones stop working now.
pub async fn insert_reset(tx: &mut TenantTx, new: &NewReset<'_>) -> DbResult<DateTime<Utc>> {
    let earlier = one_time_tokens::table.filter(one_time_tokens::user_id.eq(new.user.uuid()));
    tx.tx.execute(diesel::delete(earlier)).await?;
    let sweep = diesel::sql_query(
        "DELETE FROM one_time_tokens WHERE id IN (SELECT id FROM one_time_tokens \
         WHERE expires_at <= now() LIMIT $1 FOR UPDATE SKIP LOCKED)",
    );
    tx.tx.execute(sweep.bind::<BigInt, _>(SWEPT)).await?;
    let query = diesel::sql_query(
        "INSERT INTO one_time_tokens (id, purpose, user_id, mac, created_by, created_at, expires_at) \
         SELECT $1, $2, $3, $4, $5, at, at + $6 * interval '1 second' \
         FROM (SELECT clock_timestamp()) AS clock (at) RETURNING expires_at",
    );
    let query = query.bind::<SqlUuid, _>(new.id.uuid()).bind::<Text, _>(PASSWORD_RESET);
    let query = query.bind::<SqlUuid, _>(new.user.uuid()).bind::<Binary, _>(new.mac);
    let made: Made = tx.tx.one(query.bind::<Text, _>(new.created_by).bind::<BigInt, _>(new.seconds)).await?;
    Ok(made.expires_at)
}

/// Whose password a token may set; `None` when it is not there (it was used, or another one took its place) or has expired.
pub async fn find_reset(tx: &mut TenantTx, id: OneTimeTokenId, mac: &[u8]) -> DbResult<Option<UserId>> {
    let row = one_time_tokens::table
        .find(id.uuid())
        .filter(one_time_tokens::purpose.eq(PASSWORD_RESET))
        .filter(one_time_tokens::mac.eq(mac))
        .filter(one_time_tokens::expires_at.gt(clock_timestamp()));
    let user: Option<Option<uuid::Uuid>> = tx.tx.first(row.select(one_time_tokens::user_id)).await?;
    Ok(user.flatten().map(UserId::from_uuid))
}

/// Uses a token up; `None` as for [`find_reset`], and when it was used while this waited.
pub async fn spend_reset(tx: &mut TenantTx, id: OneTimeTokenId, mac: &[u8]) -> DbResult<Option<UserId>> {
    let row = one_time_tokens::table
        .filter(one_time_tokens::id.eq(id.uuid()))
        .filter(one_time_tokens::purpose.eq(PASSWORD_RESET))
        .filter(one_time_tokens::mac.eq(mac))
        .filter(one_time_tokens::expires_at.gt(clock_timestamp()));
    let user: Option<Option<uuid::Uuid>> =
        tx.tx.first(diesel::delete(row).returning(one_time_tokens::user_id)).await?;
    Ok(user.flatten().map(UserId::from_uuid))
}

/// Takes back every token for a person and every one that they have made: what they may do, or who knows their password, is about to
/// change. Lock the person before.
pub async fn take_back(tx: &mut TenantTx, user: UserId) -> DbResult<()> {
    let row = one_time_tokens::table.filter(one_time_tokens::user_id.eq(user.uuid()));
    tx.tx.execute(diesel::delete(row)).await?;
    take_back_made_by(tx, &user.to_string()).await
}

/// Takes back every token that the subject of a credential has made: it may not make any more.
pub async fn take_back_made_by(tx: &mut TenantTx, subject: &str) -> DbResult<()> {
    let row = one_time_tokens::table.filter(one_time_tokens::created_by.eq(subject));
    tx.tx.execute(diesel::delete(row)).await?;
    Ok(())
}

/// Takes back every token of the tenant: what a role holds is about to change, and with it who may reset whom.
pub async fn take_back_all(tx: &mut TenantTx) -> DbResult<()> {
    tx.tx.execute(diesel::delete(one_time_tokens::table)).await?;
    Ok(())
}
