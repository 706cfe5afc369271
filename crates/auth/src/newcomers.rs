//! People who are on their way in: those who hold a token from a mail or from an inviter, and strangers who have named a tenant.
//!
//! Owns what is looked up for them, and in which turn their passwords are hashed. A stranger has proven nothing: a tenant that they
//! name is opened for one thing, which the caller of this module decides by what the tenant has set. Refuses to tell a stranger
//! whether a tenant or an account exists.

use std::{net::IpAddr, time::Duration};

use bulkhead_db::{
    Authority, Db, DbError, PlatformTx,
    platform::{
        sign_ups::{self, SignUp},
        tenants::{DirectoryEntry, LoginTenant},
    },
    tenant::one_time_tokens::{self, Pending, TokenPurpose},
};
use bulkhead_domain::{Evidence, Network, Proven, Slug, TenantId, TenantStatus};
use chrono::{DateTime, Utc};

use crate::{
    authenticator::{AuthError, Authenticator, may_be_let_in},
    hash_queue::{Lane, Turn},
    keyring::Purpose,
    link_token::{LinkKind, LinkToken},
    opaque::SessionOwner,
    password::{Password, PasswordError},
};

/// The holder of a good token.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// The tenant that lets them in, proven by the token.
    pub tenant: Proven<TenantId>,
    /// The token.
    pub token: LinkToken,
    /// Who they are.
    pub pending: Pending,
}

/// A tenant that a stranger has named, which is in service.
#[derive(Clone, Copy, Debug)]
pub struct OpenTenant {
    /// The tenant.
    pub tenant: Proven<TenantId>,
}

impl Authenticator {
    /// Reads a token of an invitation or a registration and looks whether it is good. It is used up by the transaction that makes the
    /// person (`one_time_tokens::spend_pending`), which may find that it was used meanwhile.
    ///
    /// [`AuthError::Invalid`] for a text that we have not issued, before anything is looked up; [`AuthError::Lapsed`] for one of
    /// ours that was used, replaced, revoked, has expired, or whose tenant is not in service; [`AuthError::Suspended`].
    pub async fn find_newcomer(
        &self,
        db: &Db,
        purpose: TokenPurpose,
        text: &str,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Newcomer, AuthError> {
        let kind = match purpose {
            TokenPurpose::Invitation => LinkKind::Invitation,
            _ => LinkKind::Registration,
        };
        let token = LinkToken::parse(&self.keyring, kind, text).map_err(|_foreign| AuthError::Invalid)?;
        let SessionOwner::Tenant(id) = token.owner else { return Err(AuthError::Invalid) };
        let miss = self.cache.miss(text);
        if self.cache.has_lapsed(&miss, now) {
            return Err(AuthError::Lapsed);
        }
        let is_fresh = self.view.revocations.is_fresh(now);
        let entry = self.view.directory.find(db, id, is_fresh, now).await?.ok_or(AuthError::Lapsed)?;
        may_be_let_in(&entry)?;
        let tenant = Proven::on(Evidence::OneTimeToken, id);
        let (row, mac) = (token.id, token.mac(&self.keyring));
        let find = async |tx: &mut _| one_time_tokens::find_pending(tx, purpose, row, &mac).await;
        let Some(pending) = db.read::<_, DbError>(tenant, find).await? else {
            // Its repetition costs no query for a minute.
            self.cache.put_lapsed(miss, now);
            return Err(AuthError::Lapsed);
        };
        admit(&entry).await.map_err(|retry_after| AuthError::Limited { retry_after })?;
        Ok(Newcomer { tenant, token, pending })
    }

    /// The tenant in service that has this slug. `None` for any other text; the same query is asked for each.
    pub async fn find_open_tenant(&self, db: &Db, slug: &str) -> Result<Option<OpenTenant>, AuthError> {
        let slug = slug.parse::<Slug>().map_or_else(|_not_one| String::new(), |slug| slug.to_string());
        let found = self.view.directory.find_for_login(db, &slug, &slug).await?;
        Ok(match found {
            Some(LoginTenant::Named(entry)) if entry.status == TenantStatus::Active => {
                Some(OpenTenant { tenant: Proven::on(Evidence::Stranger, entry.id) })
            }
            _ => None,
        })
    }

    /// Hashes the password of a stranger who registers with `tenant`, or signs a tenant of this slug up. They wait in the lane of
    /// those who log in from an address of which nothing is known, so a flood from few addresses leaves room for others there.
    ///
    /// [`AuthError::Busy`] when too many wait already.
    pub async fn hash_for_stranger(
        &self,
        tenant: &str,
        from: IpAddr,
        password: Password,
    ) -> Result<String, AuthError> {
        let mac = self.keyring.mac_of_parts(Purpose::LoginAttempt, &[b"newcomers", tenant.as_bytes()]);
        let group = mac.iter().take(16).fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
        let turn = Turn { lane: Lane::Logins, group, network: Some(Network::of(from)) };
        self.passwords.hash(turn, password).await.map_err(|error: PasswordError| error.into())
    }

    /// Reads the token of a sign-up and looks whether it is good; as [`Self::find_newcomer`].
    pub async fn find_sign_up(&self, db: &Db, text: &str) -> Result<(LinkToken, SignUp), AuthError> {
        let token =
            LinkToken::parse(&self.keyring, LinkKind::SignUp, text).map_err(|_foreign| AuthError::Invalid)?;
        let (id, mac) = (token.id, token.mac(&self.keyring));
        let find = async |tx: &mut _| sign_ups::find(tx, id, &mac).await;
        let found = db.platform_read::<_, DbError>(Authority::logins(), find).await?;
        Ok((token, found.ok_or(AuthError::Lapsed)?))
    }

    /// Writes the platform's tables for a stranger who signs a tenant up. Sign-ups wait behind each other and log-ins alone.
    pub async fn write_sign_up<T, E: From<DbError>>(
        &self,
        db: &Db,
        work: impl AsyncFnOnce(&mut PlatformTx) -> Result<T, E>,
    ) -> Result<T, E> {
        db.platform_write(Authority::logins(), work).await
    }
}
