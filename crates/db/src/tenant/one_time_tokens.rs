//! Secrets that work once, of the tenant's people. Only an HMAC of a secret is kept; the secret is shown once, to the caller that
//! asked for it. Using one removes its row: of two callers that use the same one, exactly one finds it.

use std::fmt;

use bulkhead_domain::{OneTimeTokenId, RoleName, UserId};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};

use crate::{
    engine::{
        error::{DbError, DbResult},
        scope::TenantTx,
    },
    schema::{
        clock_timestamp,
        tenant::{one_time_tokens, users},
    },
};

/// What a token of this table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPurpose {
    /// A person sets a new password, with a token that an administrator has got for them.
    PasswordReset,
    /// The same with a token that they have asked for themselves, and got by mail.
    PasswordForgotten,
    /// A person who was invited becomes one of the tenant's people.
    Invitation,
    /// A person who has registered shows that the address is theirs.
    Registration,
    /// Nothing: a person is told that they need not register.
    AlreadyRegistered,
}

impl TokenPurpose {
    const ALL: [Self; 5] = [
        Self::PasswordReset,
        Self::PasswordForgotten,
        Self::Invitation,
        Self::Registration,
        Self::AlreadyRegistered,
    ];

    /// The word in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => PASSWORD_RESET,
            Self::PasswordForgotten => "password_forgotten",
            Self::Invitation => "invitation",
            Self::Registration => "registration",
            Self::AlreadyRegistered => "already_registered",
        }
    }

    fn read(word: &str) -> DbResult<Self> {
        let found = Self::ALL.into_iter().find(|purpose| purpose.as_str() == word);
        found.ok_or_else(|| DbError::Unreadable(format!("purpose {word} of a one-time token")))
    }
}

const PASSWORD_RESET: &str = "password_reset";

/// The purposes of tokens with which a person of the tenant sets a new password.
const RESETS: [&str; 2] = [PASSWORD_RESET, TokenPurpose::PasswordForgotten.as_str()];

/// How long an address, or a person, is sent nothing after a mail of the same purpose, in minutes.
const PAUSE_MINUTES: i32 = 5;

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
    sweep(tx, SWEPT).await?;
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
        .filter(one_time_tokens::purpose.eq_any(RESETS))
        .filter(one_time_tokens::mac.eq(mac))
        .filter(one_time_tokens::expires_at.gt(clock_timestamp()));
    let user: Option<Option<uuid::Uuid>> = tx.tx.first(row.select(one_time_tokens::user_id)).await?;
    Ok(user.flatten().map(UserId::from_uuid))
}

/// Uses a token up; `None` as for [`find_reset`], and when it was used while this waited.
pub async fn spend_reset(tx: &mut TenantTx, id: OneTimeTokenId, mac: &[u8]) -> DbResult<Option<UserId>> {
    let row = one_time_tokens::table
        .filter(one_time_tokens::id.eq(id.uuid()))
        .filter(one_time_tokens::purpose.eq_any(RESETS))
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

/// Takes back every token that an administrator has got for a person: what a role holds is about to change, and with it who may
/// reset whom. Whether an invitation may give its role is decided when it is accepted.
pub async fn take_back_resets(tx: &mut TenantTx) -> DbResult<()> {
    let row = one_time_tokens::table.filter(one_time_tokens::purpose.eq(PASSWORD_RESET));
    tx.tx.execute(diesel::delete(row)).await?;
    Ok(())
}

/// Removes tokens that have expired, at most so many; how many it were.
pub(crate) async fn sweep(tx: &mut TenantTx, limit: i64) -> DbResult<usize> {
    let sweep = diesel::sql_query(
        "DELETE FROM one_time_tokens WHERE id IN (SELECT id FROM one_time_tokens \
         WHERE expires_at <= now() LIMIT $1 FOR UPDATE SKIP LOCKED)",
    );
    tx.tx.execute(sweep.bind::<BigInt, _>(limit)).await
}

/// A token that its person gets by mail. Its text is computed from the row (`auth/src/link_token.rs`), so the row says when it
/// expires, to the microsecond.
#[derive(Clone, Copy)]
pub struct NewMailed<'a> {
    /// Its id.
    pub id: OneTimeTokenId,
    /// What it is for.
    pub purpose: TokenPurpose,
    /// Whom it is for, if that is one of the tenant's people.
    pub user: Option<UserId>,
    /// The address of somebody who is none yet.
    pub email: Option<&'a str>,
    /// The role that they are to have, where that is decided now.
    pub role: Option<RoleName>,
    /// The hash of the password that they have chosen, where they have.
    pub password_hash: Option<&'a str>,
    /// HMAC-SHA-256 of the token.
    pub mac: &'a [u8],
    /// Who has asked for it: the subject of a credential, or of a stranger the token's own id.
    pub created_by: &'a str,
    /// Now.
    pub at: DateTime<Utc>,
    /// When it stops working.
    pub expires_at: DateTime<Utc>,
}

/// Adds one that takes the place of another of the same purpose for the same address or person; of an invitation that is there,
/// [`DbError::AlreadyExists`] is told.
pub async fn insert_mailed(tx: &mut TenantTx, new: &NewMailed<'_>) -> DbResult<()> {
    sweep(tx, SWEPT).await?;
    let same = one_time_tokens::table
        .filter(one_time_tokens::purpose.eq(new.purpose.as_str()))
        .filter(one_time_tokens::email.is_not_distinct_from(new.email))
        .filter(one_time_tokens::user_id.is_not_distinct_from(new.user.map(UserId::uuid)));
    if new.purpose == TokenPurpose::Invitation {
        let expired = same.filter(one_time_tokens::expires_at.le(clock_timestamp()));
        tx.tx.execute(diesel::delete(expired)).await?;
    } else {
        tx.tx.execute(diesel::delete(same)).await?;
    }
    let row = (
        one_time_tokens::id.eq(new.id.uuid()),
        one_time_tokens::purpose.eq(new.purpose.as_str()),
        one_time_tokens::user_id.eq(new.user.map(UserId::uuid)),
        one_time_tokens::mac.eq(new.mac),
        one_time_tokens::created_by.eq(new.created_by),
        one_time_tokens::created_at.eq(new.at),
        one_time_tokens::expires_at.eq(new.expires_at),
        one_time_tokens::email.eq(new.email),
        one_time_tokens::role.eq(new.role.map(|role| role.to_string())),
        one_time_tokens::password_hash.eq(new.password_hash),
    );
    tx.tx.execute(diesel::insert_into(one_time_tokens::table).values(row)).await?;
    Ok(())
}

/// Whether an address or a person was sent something of this purpose a moment ago, so that nobody fills a mailbox.
pub async fn was_just_sent(
    tx: &mut TenantTx,
    purpose: TokenPurpose,
    email: Option<&str>,
    user: Option<UserId>,
) -> DbResult<bool> {
    let query = diesel::sql_query(
        "SELECT id FROM one_time_tokens WHERE purpose = $1 AND email IS NOT DISTINCT FROM $2 \
         AND user_id IS NOT DISTINCT FROM $3 AND created_at > now() - make_interval(mins => $4) LIMIT 1",
    );
    let query = query.bind::<Text, _>(purpose.as_str()).bind::<Nullable<Text>, _>(email);
    let query = query.bind::<Nullable<SqlUuid>, _>(user.map(UserId::uuid)).bind::<Integer, _>(PAUSE_MINUTES);
    let found: Option<Found> = tx.tx.first(query).await?;
    Ok(found.is_some())
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    #[expect(dead_code, reason = "a query of nothing has no row type")]
    id: uuid::Uuid,
}

/// What a mail about a token needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToMail {
    /// What the token is for.
    pub purpose: TokenPurpose,
    /// Where the mail goes.
    pub email: String,
    /// When the token stops working.
    pub expires_at: DateTime<Utc>,
}

type ToMailRow = (String, Option<String>, Option<String>, DateTime<Utc>);

/// What a mail about this token needs; `None` when it is gone or has expired.
pub async fn find_to_mail(tx: &mut TenantTx, id: OneTimeTokenId) -> DbResult<Option<ToMail>> {
    let query = one_time_tokens::table
        .left_join(users::table)
        .filter(one_time_tokens::id.eq(id.uuid()))
        .filter(one_time_tokens::expires_at.gt(clock_timestamp()))
        .select((
            one_time_tokens::purpose,
            one_time_tokens::email,
            users::email.nullable(),
            one_time_tokens::expires_at,
        ));
    let row: Option<ToMailRow> = tx.tx.first(query).await?;
    row.map(|(purpose, email, of_user, expires_at)| {
        let email = email.or(of_user).ok_or_else(|| DbError::Unreadable(format!("address of {id}")))?;
        Ok(ToMail { purpose: TokenPurpose::read(&purpose)?, email, expires_at })
    })
    .transpose()
}

/// Somebody who is on their way in.
#[derive(Clone, PartialEq, Eq)]
pub struct Pending {
    /// Their address.
    pub email: String,
    /// The role that they were invited with.
    pub role: Option<RoleName>,
    /// The hash of the password with which they have registered.
    pub password_hash: Option<String>,
    /// Who has invited them: the subject of a credential.
    pub created_by: String,
}

/// Hashes stay out of logs.
impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({})", self.email)
    }
}

type PendingRow = (Option<String>, Option<String>, Option<String>, String);

fn read_pending((email, role, password_hash, created_by): PendingRow) -> DbResult<Pending> {
    let unreadable = |what| DbError::Unreadable(format!("{what} of a one-time token"));
    let role = role.map(|role| role.parse()).transpose().map_err(|_not_a_name| unreadable("role"))?;
    let email = email.ok_or_else(|| unreadable("address"))?;
    Ok(Pending { email, role, password_hash, created_by })
}

macro_rules! pending_columns {
    () => {
        (
            one_time_tokens::email,
            one_time_tokens::role,
            one_time_tokens::password_hash,
            one_time_tokens::created_by,
        )
    };
}

macro_rules! good {
    ($id:expr, $purpose:expr, $mac:expr) => {
        one_time_tokens::table
            .filter(one_time_tokens::id.eq($id.uuid()))
            .filter(one_time_tokens::purpose.eq($purpose.as_str()))
            .filter(one_time_tokens::mac.eq($mac))
            .filter(one_time_tokens::expires_at.gt(clock_timestamp()))
    };
}

/// Whom a token lets in; `None` when it is not there (it was used, or another one took its place) or has expired.
pub async fn find_pending(
    tx: &mut TenantTx,
    purpose: TokenPurpose,
    id: OneTimeTokenId,
    mac: &[u8],
) -> DbResult<Option<Pending>> {
    let row: Option<PendingRow> = tx.tx.first(good!(id, purpose, mac).select(pending_columns!())).await?;
    row.map(read_pending).transpose()
}

/// Uses a token up; `None` as for [`find_pending`], and when it was used while this waited.
pub async fn spend_pending(
    tx: &mut TenantTx,
    purpose: TokenPurpose,
    id: OneTimeTokenId,
    mac: &[u8],
) -> DbResult<Option<Pending>> {
    let spend = diesel::delete(good!(id, purpose, mac)).returning(pending_columns!());
    let row: Option<PendingRow> = tx.tx.first(spend).await?;
    row.map(read_pending).transpose()
}

/// Removes a token, whatever it is for; whether it was there.
pub async fn delete(tx: &mut TenantTx, id: OneTimeTokenId) -> DbResult<bool> {
    Ok(tx.tx.execute(diesel::delete(one_time_tokens::table.find(id.uuid()))).await? > 0)
}
