//! Tenants to come: they have signed up, and the address of their first owner is to be confirmed. And how many sign up in an hour.

use std::fmt;

use bulkhead_domain::{OneTimeTokenId, Slug};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Integer, Uuid as SqlUuid},
};

use crate::{
    engine::{error::DbResult, scope::PlatformTx},
    schema::{clock_timestamp, platform::sign_ups},
};

/// How long an address is sent nothing after a mail, in minutes.
const PAUSE_MINUTES: i64 = 5;

/// A tenant to come.
#[derive(Clone)]
pub struct NewSignUp<'a> {
    /// Its id, until it is a tenant.
    pub id: OneTimeTokenId,
    /// The slug that it wants.
    pub slug: &'a Slug,
    /// The name that it wants.
    pub name: &'a str,
    /// Its first owner's address.
    pub email: &'a str,
    /// The hash of its first owner's password.
    pub password_hash: &'a str,
    /// HMAC-SHA-256 of the token that confirms it.
    pub mac: &'a [u8],
    /// Now.
    pub at: DateTime<Utc>,
    /// When the token stops working.
    pub expires_at: DateTime<Utc>,
}

/// Hashes stay out of logs.
impl fmt::Debug for NewSignUp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewSignUp({})", self.id)
    }
}

/// Counts a sign-up, unless there were `most` in this hour; whether it was counted. Others wait until this transaction has ended.
pub async fn take_share(tx: &mut PlatformTx, most: u32) -> DbResult<bool> {
    let statement = diesel::sql_query(include_str!("sign_ups/take_share.sql"));
    let most = i32::try_from(most).unwrap_or(i32::MAX);
    Ok(tx.tx.execute(statement.bind::<SqlUuid, _>(uuid::Uuid::nil()).bind::<Integer, _>(most)).await? > 0)
}

/// Whether an address was sent a mail a moment ago.
pub async fn was_just_sent(tx: &mut PlatformTx, email: &str, now: DateTime<Utc>) -> DbResult<bool> {
    let since = now - chrono::TimeDelta::minutes(PAUSE_MINUTES);
    let row = sign_ups::table.filter(sign_ups::email.eq(email)).filter(sign_ups::created_at.gt(since));
    let found: Option<uuid::Uuid> = tx.tx.first(row.select(sign_ups::id)).await?;
    Ok(found.is_some())
}

/// Adds one, in the place of another of the same address.
pub async fn insert(tx: &mut PlatformTx, new: &NewSignUp<'_>) -> DbResult<()> {
    tx.tx.execute(diesel::delete(sign_ups::table.filter(sign_ups::email.eq(new.email)))).await?;
    let row = (
        sign_ups::id.eq(new.id.uuid()),
        sign_ups::slug.eq(new.slug.as_str()),
        sign_ups::name.eq(new.name),
        sign_ups::email.eq(new.email),
        sign_ups::password_hash.eq(new.password_hash),
        sign_ups::mac.eq(new.mac),
        sign_ups::created_at.eq(new.at),
        sign_ups::expires_at.eq(new.expires_at),
    );
    tx.tx.execute(diesel::insert_into(sign_ups::table).values(row)).await?;
    Ok(())
}

/// A tenant to come, as it was stored.
#[derive(Clone, PartialEq, Eq, Queryable)]
pub struct SignUp {
    /// The slug that it wants.
    pub slug: String,
    /// The name that it wants.
    pub name: String,
    /// Its first owner's address.
    pub email: String,
    /// The hash of its first owner's password.
    pub password_hash: String,
}

/// Hashes stay out of logs.
impl fmt::Debug for SignUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignUp({})", self.slug)
    }
}

macro_rules! good {
    ($id:expr, $mac:expr) => {
        sign_ups::table
            .filter(sign_ups::id.eq($id.uuid()))
            .filter(sign_ups::mac.eq($mac))
            .filter(sign_ups::expires_at.gt(clock_timestamp()))
    };
}

macro_rules! columns {
    () => {
        (sign_ups::slug, sign_ups::name, sign_ups::email, sign_ups::password_hash)
    };
}

/// What a token confirms; `None` when it was used, replaced, or has expired.
pub async fn find(tx: &mut PlatformTx, id: OneTimeTokenId, mac: &[u8]) -> DbResult<Option<SignUp>> {
    tx.tx.first(good!(id, mac).select(columns!())).await
}

/// Uses the token up; `None` as for [`find`], and when it was used while this waited.
pub async fn spend(tx: &mut PlatformTx, id: OneTimeTokenId, mac: &[u8]) -> DbResult<Option<SignUp>> {
    tx.tx.first(diesel::delete(good!(id, mac)).returning(columns!())).await
}

/// Where the mail about a sign-up goes, about which slug, and when its token stops working; `None` when it is gone or has expired.
pub async fn find_to_mail(
    tx: &mut PlatformTx,
    id: OneTimeTokenId,
) -> DbResult<Option<(String, String, DateTime<Utc>)>> {
    let row = sign_ups::table.find(id.uuid()).filter(sign_ups::expires_at.gt(clock_timestamp()));
    tx.tx.first(row.select((sign_ups::email, sign_ups::slug, sign_ups::expires_at))).await
}
