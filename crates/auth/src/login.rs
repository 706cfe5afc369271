//! Logging in, staying logged in, logging out.
//!
//! Whoever does not know a password learns nothing from the answer, nor from how long it takes: every failed login runs
//! one password hash and the same number of queries. A refresh token works once; whoever uses one again either lost the
//! answer a moment ago, and gets the same successor, or holds a stolen token, and ends the session.

use bulkhead_db::{
    Authority, Db, DbError,
    platform::{operators, revocations},
    tenant::{
        credentials,
        revocations::{Revoked, revoke},
        sessions, users,
    },
};
use bulkhead_domain::{Email, Evidence, Proven, SessionId, Slug, TenantId, TenantStatus, TextError};
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    authenticator::{AuthError, Authenticator},
    jwt::{AccessToken, Issue},
    password::{Password, PasswordError, needs_rehash},
    principal::Principal,
    session::{RefreshToken, SessionOwner},
};

/// How long after its replacement a refresh token is taken for a client's repetition rather than a thief's use.
const GRACE: TimeDelta = TimeDelta::seconds(10);

/// How many rotations back a used token is recognised: a year of ten-minute tokens would be 52,000, a day is 144.
const CHAIN: usize = 1_000;

/// What is hashed in place of a text that cannot be a password.
const STAND_IN: &str = "not a password";

/// The tokens of a session.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access: AccessToken,
    /// The refresh token that comes next.
    pub refresh: RefreshToken,
}

/// A stored hash that is good but no longer as dear as new ones, and what takes its place.
struct Renewal {
    stored: String,
    renewed: String,
}

/// A session as it is stored, whoever's it is.
struct Stored {
    principal: Principal,
    token_mac: Vec<u8>,
    previous_mac: Option<Vec<u8>>,
    rotated_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked: bool,
}

impl Authenticator {
    /// Logs a person of a tenant in, or an operator when no tenant is named. `None` inside stands for what was sent but
    /// cannot be a slug, an address or a password: it fails like a wrong one.
    pub async fn login(
        &self,
        db: &Db,
        tenant: Option<Option<Slug>>,
        email: Option<Email>,
        password: Option<Password>,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        let session = SessionId::mint(now);
        let (principal, hash) = match tenant {
            Some(slug) => self.tenant_credential(db, slug, email, session).await?,
            None => self.operator_credential(db, email, session).await?,
        }
        .map_or((None, None), |(principal, hash)| (Some(principal), Some(hash)));
        let known = password.is_some();
        let password = password
            .map_or_else(|| STAND_IN.parse(), Ok)
            .map_err(|error: TextError| AuthError::Internal(error.to_string()))?;
        let matches = self.passwords.verify(password.clone(), hash.clone()).await?;
        let principal = principal.filter(|_| matches && known).ok_or(AuthError::Invalid)?;
        if let Some(tenant) = principal.tenant() {
            self.in_service(db, tenant.get(), now).await?;
        }
        let renewal = self.renewal(password, hash).await?;
        self.open_session(db, principal, session, renewal, now).await
    }

    /// Today's hash of a password that has matched, if the stored one was made with other parameters: only now is the
    /// password at hand. It can wait for another login when many passwords are being checked.
    async fn renewal(
        &self,
        password: Password,
        stored: Option<String>,
    ) -> Result<Option<Renewal>, AuthError> {
        let Some(stored) = stored.filter(|stored| needs_rehash(stored)) else { return Ok(None) };
        match self.passwords.hash(password).await {
            Ok(renewed) => Ok(Some(Renewal { stored, renewed })),
            Err(PasswordError::Busy) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn tenant_credential(
        &self,
        db: &Db,
        slug: Option<Slug>,
        email: Option<Email>,
        session: SessionId,
    ) -> Result<Option<(Principal, String)>, AuthError> {
        let entry = match &slug {
            Some(slug) => self.directory.find_by_slug(db, slug).await?,
            None => None,
        };
        let entry =
            entry.filter(|entry| matches!(entry.status, TenantStatus::Active | TenantStatus::Suspended));
        let (Some(entry), Some(email)) = (entry, email) else { return Ok(None) };
        let found =
            db.credentials(entry.id, async |tx| credentials::find_user(tx, email.as_str()).await).await?;
        Ok(found.map(|user| {
            // Proven only once the password has matched; nothing is opened with it before.
            let tenant = Proven::on(Evidence::Password, entry.id);
            let principal = Principal::User { tenant, id: user.id, role: user.role, session: Some(session) };
            (principal, user.password_hash)
        }))
    }

    async fn operator_credential(
        &self,
        db: &Db,
        email: Option<Email>,
        session: SessionId,
    ) -> Result<Option<(Principal, String)>, AuthError> {
        let Some(email) = email else { return Ok(None) };
        let read = async |tx: &mut _| operators::find_credential(tx, email.as_str()).await;
        let found = db.platform_read(Authority::credentials(), read).await?;
        Ok(found.map(|operator| {
            // Proven only once the password has matched.
            let id = Proven::on(Evidence::Password, operator.id);
            let principal = Principal::Operator { id, role: operator.role, session: Some(session) };
            (principal, operator.password_hash)
        }))
    }

    async fn open_session(
        &self,
        db: &Db,
        principal: Principal,
        session: SessionId,
        renewal: Option<Renewal>,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        let ends = now + self.session_life;
        let owner =
            principal.tenant().map_or(SessionOwner::Operator, |tenant| SessionOwner::Tenant(tenant.get()));
        let refresh = RefreshToken::issue(owner, session)?;
        let mac = refresh.mac(&self.keyring);
        match principal {
            Principal::User { tenant, id, .. } => {
                let open = async |tx: &mut _| {
                    if let Some(Renewal { stored, renewed }) = &renewal {
                        users::renew_password_hash(tx, id, stored, renewed).await?;
                    }
                    sessions::insert(tx, session, id, &mac, now, ends).await
                };
                db.write(tenant, open).await?;
            }
            Principal::Operator { id, .. } => {
                let open = async |tx: &mut _| {
                    if let Some(Renewal { stored, renewed }) = &renewal {
                        operators::renew_password_hash(tx, id.get(), stored, renewed).await?;
                    }
                    operators::insert_session(tx, session, id.get(), &mac, now, ends).await
                };
                db.platform_write(Authority::credentials(), open).await?;
            }
            Principal::ApiKey { .. } => return Err(AuthError::Invalid),
        }
        self.tokens_for(principal, refresh, ends, now)
    }

    fn tokens_for(
        &self,
        principal: Principal,
        refresh: RefreshToken,
        ends: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        let issue = Issue { principal, proven_at: now, credential_expires_at: Some(ends) };
        Ok(Tokens { access: self.tokens.issue(&*self.keys()?, &issue)?, refresh })
    }

    /// Exchanges a refresh token for the next pair.
    pub async fn refresh(&self, db: &Db, text: &str, now: DateTime<Utc>) -> Result<Tokens, AuthError> {
        let token = RefreshToken::parse(text).map_err(|_malformed| AuthError::Invalid)?;
        let stored = self.stored_session(db, &token, now).await?.ok_or(AuthError::Invalid)?;
        if stored.revoked || stored.expires_at <= now {
            return Err(AuthError::Invalid);
        }
        let in_force = token.matches(&self.keyring, &stored.token_mac);
        let previous = stored.previous_mac.as_deref().is_some_and(|mac| token.matches(&self.keyring, mac));
        if in_force || (previous && now - stored.rotated_at < GRACE) {
            return self.succeed(db, &token, stored, in_force, now).await;
        }
        // Whoever used it the first time has gone on from there, however often.
        if token.leads_to(&self.keyring, &stored.token_mac, CHAIN) {
            tracing::warn!(session = %token.session, "a refresh token was used again; its session is ended");
            self.end_session(db, &token, &stored, now).await?;
        }
        Err(AuthError::Invalid)
    }

    /// The pair that follows a good refresh token, which is replaced if it is the one in force.
    async fn succeed(
        &self,
        db: &Db,
        token: &RefreshToken,
        stored: Stored,
        in_force: bool,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        if let Some(tenant) = stored.principal.tenant() {
            self.in_service(db, tenant.get(), now).await?;
        }
        let successor = token.successor(&self.keyring);
        if in_force {
            let (current, next) = (token.mac(&self.keyring), successor.mac(&self.keyring));
            let session = token.session;
            match stored.principal.tenant() {
                Some(tenant) => {
                    db.write(tenant, async |tx| sessions::rotate(tx, session, &current, &next, now).await)
                        .await?;
                }
                None => {
                    let rotate =
                        async |tx: &mut _| operators::rotate_session(tx, session, &current, &next, now).await;
                    db.platform_write(Authority::credentials(), rotate).await?;
                }
            }
        }
        // Whoever lost the race for this rotation holds the same token, and gets the same successor.
        self.tokens_for(stored.principal, successor, stored.expires_at, now)
    }

    /// Ends the session of a refresh token, a suspended tenant's too. One that is not good is left alone, without a word.
    pub async fn logout(&self, db: &Db, text: &str, now: DateTime<Utc>) -> Result<(), AuthError> {
        let Ok(token) = RefreshToken::parse(text) else { return Ok(()) };
        let stored = self.stored_session(db, &token, now).await?;
        match stored.filter(|stored| token.matches(&self.keyring, &stored.token_mac)) {
            Some(stored) => self.end_session(db, &token, &stored, now).await,
            None => Ok(()),
        }
    }

    async fn end_session(
        &self,
        db: &Db,
        token: &RefreshToken,
        stored: &Stored,
        now: DateTime<Utc>,
    ) -> Result<(), AuthError> {
        let session = token.session;
        match stored.principal.tenant() {
            Some(tenant) => {
                let end = async |tx: &mut _| {
                    sessions::revoke(tx, session, now).await?;
                    revoke(tx, Revoked::Session(session)).await
                };
                db.write(tenant, end).await?;
            }
            None => {
                let end = async |tx: &mut _| {
                    operators::revoke_session(tx, session, now).await?;
                    revocations::revoke_operator_session(tx, session).await
                };
                db.platform_write(Authority::credentials(), end).await?;
            }
        }
        Ok(())
    }

    /// The session that a token names. Whether the token is one of its tokens is for the caller to see.
    async fn stored_session(
        &self,
        db: &Db,
        token: &RefreshToken,
        now: DateTime<Utc>,
    ) -> Result<Option<Stored>, AuthError> {
        match token.owner {
            SessionOwner::Tenant(tenant) => self.tenant_session(db, tenant, token.session, now).await,
            SessionOwner::Operator => Ok(operator_session(db, token.session).await?),
        }
    }

    async fn tenant_session(
        &self,
        db: &Db,
        tenant: TenantId,
        session: SessionId,
        now: DateTime<Utc>,
    ) -> Result<Option<Stored>, AuthError> {
        // A tenant without a schema has no sessions.
        let entry = self.directory.find(db, tenant, now).await?;
        if !entry.is_some_and(|entry| matches!(entry.status, TenantStatus::Active | TenantStatus::Suspended))
        {
            return Ok(None);
        }
        let found = db.credentials(tenant, async |tx| credentials::find_session(tx, session).await).await?;
        Ok(found.map(|row| Stored {
            // Used only after the token's HMAC has matched.
            principal: Principal::User {
                tenant: Proven::on(Evidence::RefreshToken, tenant),
                id: row.user,
                role: row.role,
                session: Some(session),
            },
            token_mac: row.token_mac,
            previous_mac: row.previous_mac,
            rotated_at: row.rotated_at,
            expires_at: row.expires_at,
            revoked: row.revoked_at.is_some(),
        }))
    }
}

async fn operator_session(db: &Db, session: SessionId) -> Result<Option<Stored>, DbError> {
    let read = async |tx: &mut _| operators::find_session(tx, session).await;
    let found = db.platform_read(Authority::credentials(), read).await?;
    Ok(found.map(|row| Stored {
        // Used only after the token's HMAC has matched.
        principal: Principal::Operator {
            id: Proven::on(Evidence::RefreshToken, row.operator),
            role: row.role,
            session: Some(session),
        },
        token_mac: row.token_mac,
        previous_mac: row.previous_mac,
        rotated_at: row.rotated_at,
        expires_at: row.expires_at,
        revoked: row.revoked_at.is_some(),
    }))
}
