//! Staying logged in, and logging out.
//!
//! A refresh token works once. A client that uses one again, while its successor was never used, has lost the answer and gets the
//! same successor, however late it asks. Once the successor was used, the one before is a thief's or was stolen: the session is
//! ended, and the audit log says why. Everything that is said about a session is read from
//! its row under lock, after its person's row was locked: a refresh that meets a revocation, a demotion or a logout
//! half-way waits for it and says what is true then. Times are the database's, so it does not matter what a node's
//! clock says.

use std::time::Duration;

use bulkhead_db::{
    Authority, Db, DbError, DbResult, PlatformTx, TenantTx,
    platform::{operator_sessions, tenants::DirectoryEntry},
    sessions::Rotated,
    tenant::credentials,
};
use bulkhead_domain::{Evidence, OperatorId, Proven, RoleName, SessionId, TenantId, TenantStatus, UserId};
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::{
    authenticator::{AuthError, Authenticator, may_be_let_in},
    keyring::Keyring,
    login::Tokens,
    principal::Principal,
    request::Request,
    second_factor::{FactorTx, SecondFactorRule},
    session::{RefreshToken, SessionOwner},
    session_tx::SessionTx,
};

/// The holder of a genuine refresh token whose session is alive.
#[derive(Clone, Copy)]
enum Holder {
    User { tenant: Proven<TenantId>, entry: DirectoryEntry, id: UserId },
    Operator { id: Proven<OperatorId> },
}

/// What a genuine token is to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// The one in force, or the one that it has replaced.
    Latest,
    /// An earlier one, however long ago: its successor has been exchanged since.
    Spent,
}

/// What became of a refresh.
enum Outcome {
    /// The session goes on, for a holder with this role.
    GoesOn { role: RoleName, expires_at: DateTime<Utc>, proven_at: DateTime<Utc> },
    /// It was ended now, because a spent token was used.
    Ended,
    /// It had ended before, or its holder is gone.
    Over,
}

/// A token that is being exchanged.
struct Exchange<'a> {
    keyring: &'a Keyring,
    rule: &'a SecondFactorRule,
    token: &'a RefreshToken,
    successor: &'a RefreshToken,
    request: &'a Request<'a>,
}

impl Exchange<'_> {
    async fn run<Tx: FactorTx>(&self, tx: &mut Tx, holder: Tx::Person) -> DbResult<Outcome> {
        let session = self.token.session;
        let Some(role) = tx.lock_person(holder).await? else { return Ok(Outcome::Over) };
        // A session of before the person had to have a second factor does not go on without.
        if Tx::requires(self.rule, role)
            && !tx.has_factor(holder).await?
            && !tx.has_factor_at_issuer(session).await?
        {
            return Ok(Outcome::Over);
        }
        let (current, next) = (self.token.mac(self.keyring), self.successor.mac(self.keyring));
        if let Some(Rotated { at, expires_at }) = tx.rotate(session, &current, &next).await? {
            return Ok(Outcome::GoesOn { role, expires_at, proven_at: at });
        }
        // The token is not the one in force any more, or the session has ended: the row says which.
        let Some(row) = tx.lock(session).await? else { return Ok(Outcome::Over) };
        if row.revoked_at.is_some() || row.expires_at <= row.now {
            return Ok(Outcome::Over);
        }
        let previous = row.previous_mac.as_deref();
        if previous.is_some_and(|mac| self.token.matches(self.keyring, mac)) {
            // A client that lost the race for this rotation, or its answer, holds the same token and gets the same
            // successor. The row still has that one as the token in force, so it was never exchanged.
            return Ok(Outcome::GoesOn { role, expires_at: row.expires_at, proven_at: row.now });
        }
        if tx.end(session).await? {
            let (actor, target) = (holder.to_string(), session.to_string());
            let changes = json!({ "because": "a refresh token was used again after its successor" });
            tx.audit(&self.request.entry(row.now, &actor, "end_session", &target, changes)).await?;
        }
        Ok(Outcome::Ended)
    }
}

impl Authenticator {
    /// Exchanges a refresh token for the next pair.
    ///
    /// [`AuthError::Invalid`] for a text that we have not issued, before anything is looked up; a token of ours that is good
    /// no more is [`AuthError::Lapsed`]. `admit` is called once the session is known to be alive, before anything is
    /// written, and may refuse by saying when to come back: from here on it is the tenant's own limit that counts. The audit log
    /// names the request where a session is ended.
    pub async fn refresh(
        &self,
        db: &Db,
        text: &str,
        request: &Request<'_>,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        let token = RefreshToken::parse(&self.keyring, text).map_err(|_foreign| AuthError::Invalid)?;
        let (holder, relation) = self.holder(db, &token, now).await?;
        if let (Holder::User { entry, .. }, Relation::Latest) = (&holder, relation) {
            may_be_let_in(entry)?;
            admit(entry).await.map_err(|retry_after| AuthError::Limited { retry_after })?;
        }
        let successor = token.successor(&self.keyring);
        let (keyring, rule) = (&*self.keyring, &self.second_factor);
        let exchange = Exchange { keyring, rule, token: &token, successor: &successor, request };
        let session = token.session;
        let (goes_on, ended) = match holder {
            Holder::User { tenant, id, .. } => {
                let run = async |tx: &mut TenantTx| exchange.run(tx, id).await;
                let outcome = db.write::<_, DbError>(tenant, run).await?;
                let role = |role| self.access.tenants().role(role);
                let acting = None;
                outcome.split(|name| Principal::User { tenant, id, role: role(name), session, acting })
            }
            Holder::Operator { id } => {
                let run = async |tx: &mut PlatformTx| exchange.run(tx, id.get()).await;
                let outcome = db.platform_write::<_, DbError>(Authority::credentials(), run).await?;
                let role = |role| self.access.operators().role(role);
                outcome.split(|name| Principal::Operator { id, role: role(name), session })
            }
        };
        if ended {
            tracing::warn!(session = %token.session, "a refresh token was used again; its session is ended");
        }
        let (principal, ends, proven_at) = goes_on.ok_or(AuthError::Lapsed)?;
        self.tokens_for(principal, successor, ends, proven_at)
    }

    /// Ends the session of a refresh token, a suspended tenant's too, and whether or not the token is still in force:
    /// a client that has had one of the session's tokens may end it, also beside a refresh. [`AuthError::Invalid`] for
    /// a text that we have not issued, [`AuthError::Lapsed`] for a token whose session has ended.
    pub async fn logout(
        &self,
        db: &Db,
        text: &str,
        request: &Request<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), AuthError> {
        let token = RefreshToken::parse(&self.keyring, text).map_err(|_foreign| AuthError::Invalid)?;
        let session = token.session;
        match self.holder(db, &token, now).await? {
            (Holder::User { tenant, id, .. }, _) => {
                let end = async |tx: &mut TenantTx| log_out(tx, id, session, request, now).await;
                db.write::<_, DbError>(tenant, end).await?;
            }
            (Holder::Operator { id }, _) => {
                let end = async |tx: &mut PlatformTx| log_out(tx, id.get(), session, request, now).await;
                db.platform_write::<_, DbError>(Authority::credentials(), end).await?;
            }
        }
        Ok(())
    }

    /// The holder of the token, if its session is alive. A token whose session is not is remembered as such for a
    /// minute, so that a program that goes on using it costs no query each time. No address is charged for it.
    async fn holder(
        &self,
        db: &Db,
        token: &RefreshToken,
        now: DateTime<Utc>,
    ) -> Result<(Holder, Relation), AuthError> {
        let miss = self.cache.miss(token.reveal());
        if self.cache.has_lapsed(&miss, now) {
            return Err(AuthError::Lapsed);
        }
        let found = match token.owner {
            SessionOwner::Tenant(tenant) => self.user(db, tenant, token, now).await?,
            SessionOwner::Operator => self.operator(db, token).await?,
        };
        found.ok_or_else(|| {
            self.cache.put_lapsed(miss, now);
            AuthError::Lapsed
        })
    }

    async fn user(
        &self,
        db: &Db,
        tenant: TenantId,
        token: &RefreshToken,
        now: DateTime<Utc>,
    ) -> Result<Option<(Holder, Relation)>, AuthError> {
        let is_fresh = self.view.revocations.is_fresh(now);
        // The people of a tenant in another state have no sessions, or have them again only once it is restored.
        let entry = self.view.directory.find(db, tenant, is_fresh, now).await?;
        let entry =
            entry.filter(|entry| matches!(entry.status, TenantStatus::Active | TenantStatus::Suspended));
        let entry = entry.ok_or(AuthError::Lapsed)?;
        let session = token.session;
        let found = db.credentials(tenant, async |tx| credentials::find_session(tx, session).await).await?;
        let Some(row) = found.filter(|row| row.revoked_at.is_none()) else { return Ok(None) };
        let relation = self.relation(token, &row.token_mac, row.previous_mac.as_deref());
        let tenant = Proven::on(Evidence::RefreshToken, tenant);
        Ok(Some((Holder::User { tenant, entry, id: row.user }, relation)))
    }

    async fn operator(&self, db: &Db, token: &RefreshToken) -> Result<Option<(Holder, Relation)>, DbError> {
        let session = token.session;
        let read = async |tx: &mut _| operator_sessions::find(tx, session).await;
        let found = db.platform_read(Authority::credentials(), read).await?;
        let Some(row) = found.filter(|row| row.revoked_at.is_none()) else { return Ok(None) };
        let relation = self.relation(token, &row.token_mac, row.previous_mac.as_deref());
        let id = Proven::on(Evidence::RefreshToken, row.operator);
        Ok(Some((Holder::Operator { id }, relation)))
    }

    /// What a genuine token is to its session, which has these HMACs.
    fn relation(&self, token: &RefreshToken, current: &[u8], previous: Option<&[u8]>) -> Relation {
        let is_latest = token.matches(&self.keyring, current)
            || previous.is_some_and(|mac| token.matches(&self.keyring, mac));
        if is_latest { Relation::Latest } else { Relation::Spent }
    }
}

/// Ends the session, and says so in the audit log if it was alive.
async fn log_out<Tx: SessionTx>(
    tx: &mut Tx,
    holder: Tx::Person,
    session: SessionId,
    request: &Request<'_>,
    at: DateTime<Utc>,
) -> DbResult<()> {
    if tx.end(session).await? {
        let (actor, target) = (holder.to_string(), session.to_string());
        tx.audit(&request.entry(at, &actor, "logout", &target, json!({}))).await?;
    }
    Ok(())
}

type GoesOn = (Principal, DateTime<Utc>, DateTime<Utc>);

impl Outcome {
    /// The principal that goes on, until when, and when it was proven; and whether the session was ended now.
    fn split(self, principal: impl FnOnce(RoleName) -> Principal) -> (Option<GoesOn>, bool) {
        match self {
            Self::GoesOn { role, expires_at, proven_at } => {
                (Some((principal(role), expires_at, proven_at)), false)
            }
            Self::Ended => (None, true),
            Self::Over => (None, false),
        }
    }
}
