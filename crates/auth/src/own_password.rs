//! A new password: for a person who shows the old one, and for one who shows a token that an administrator has given out.
//!
//! Owns how often each may be tried, and that all work that is dear is done outside of transactions. Refuses to write: what is
//! written, and what the audit log says of it, is the caller's transaction.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bulkhead_db::{Db, DbError, platform::tenants::DirectoryEntry, tenant::one_time_tokens};
use bulkhead_domain::{Evidence, Network, Proven, TenantId, UserId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    attempts::AccountKey,
    authenticator::{AuthError, Authenticator, may_be_let_in},
    hash_queue::{Lane, Turn},
    login::matches,
    one_time::ResetToken,
    password::Presented,
};

/// A good token for a new password.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    /// Whose person it is for, proven by the token.
    pub tenant: Proven<TenantId>,
    /// What the tenant is.
    pub entry: DirectoryEntry,
    /// The person.
    pub user: UserId,
}

impl Authenticator {
    /// Whether a person who is logged in knows their password: `stored` is the hash of it. `subject` is their id, `group` their
    /// tenant's id or their own. After ten failures a person has one attempt at a time, as for log-ins, counted apart from those.
    ///
    /// [`AuthError::Invalid`] when it is another one, [`AuthError::Limited`] when the person has to wait, [`AuthError::Busy`]
    /// when too many passwords are being checked.
    pub async fn check_own_password(
        &self,
        subject: &str,
        group: Uuid,
        from: IpAddr,
        password: &str,
        stored: String,
        now: DateTime<Utc>,
    ) -> Result<(), AuthError> {
        let account = AccountKey::of_subject(&self.keyring, subject);
        let counted = self
            .attempts
            .begin(&self.keyring, account, Network::of(from), now)
            .map_err(|retry_after| AuthError::Limited { retry_after })?;
        let Some(password) = Presented::read(password).map(Arc::new) else {
            counted.failed();
            return Err(AuthError::Invalid);
        };
        let turn = Turn { lane: Lane::Returning, group: group.as_u128(), network: None };
        if matches(&self.passwords, &counted, turn, &password, Some(stored)).await?.is_some() {
            counted.succeeded();
            Ok(())
        } else {
            counted.failed();
            Err(AuthError::Invalid)
        }
    }

    /// Reads a token for a new password and looks whether it is good. It is used up by the transaction that sets the password
    /// (`one_time_tokens::spend_reset`), which may find that it was used meanwhile.
    ///
    /// [`AuthError::Invalid`] for a text that we have not issued, before anything is looked up; [`AuthError::Lapsed`] for one of
    /// ours that was used, replaced, has expired, or whose tenant is not in service; [`AuthError::Suspended`].
    pub async fn find_reset(
        &self,
        db: &Db,
        text: &str,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<(Reset, ResetToken), AuthError> {
        let token = ResetToken::parse(&self.keyring, text).map_err(|_foreign| AuthError::Invalid)?;
        let miss = self.cache.miss(text);
        if self.cache.has_lapsed(&miss, now) {
            return Err(AuthError::Lapsed);
        }
        let is_fresh = self.view.revocations.is_fresh(now);
        let entry = self.view.directory.find(db, token.tenant, is_fresh, now).await?;
        let entry = entry.ok_or(AuthError::Lapsed)?;
        may_be_let_in(&entry)?;
        let tenant = Proven::on(Evidence::OneTimeToken, token.tenant);
        let (id, mac) = (token.id, token.mac(&self.keyring));
        let find = async |tx: &mut _| one_time_tokens::find_reset(tx, id, &mac).await;
        let Some(user) = db.read::<_, DbError>(tenant, find).await? else {
            // Its repetition costs no query for a minute.
            self.cache.put_lapsed(miss, now);
            return Err(AuthError::Lapsed);
        };
        admit(&entry).await.map_err(|retry_after| AuthError::Limited { retry_after })?;
        Ok((Reset { tenant, entry, user }, token))
    }
}
