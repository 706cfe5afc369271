//! The session that a right password opens, unless a code is needed first.

use bulkhead_db::{
    DbResult,
    sessions::{Device, Opened},
};
use bulkhead_domain::{RoleName, SessionId};
use chrono::{DateTime, Utc};
use serde_json::Map;

use crate::{
    request::Request,
    second_factor::{FactorTx, SecondFactorRule},
};

/// A stored hash that is good but was made with other parameters than new ones, or of another form of the password, and the
/// hash that takes its place.
pub(crate) struct Renewal {
    pub(crate) stored: String,
    pub(crate) renewed: String,
}

/// What became of the session that a password was to open.
pub(crate) enum Opening<T> {
    /// It is open.
    Opened(T),
    /// A code is needed first; `enrols` if the person must have a second factor and has none yet.
    NeedsCode { enrols: bool },
    /// The account has another password, or is gone.
    Changed,
}

/// In the audit log's entry of a log-in: an issuer has vouched for the person.
pub(crate) const IDENTITY_PROVIDER: &str = "identity_provider";

/// A session that is to be opened, and what the audit log says of it.
pub(crate) struct NewSession<'a> {
    pub(crate) id: SessionId,
    pub(crate) mac: [u8; 32],
    pub(crate) seconds: i64,
    pub(crate) device: &'a Device<'a>,
    pub(crate) request: &'a Request<'a>,
    pub(crate) at: DateTime<Utc>,
}

impl NewSession<'_> {
    /// Opens it. Has the audit log say that the person has logged in, with `with` beside the password, and how many of their oldest
    /// sessions had to make room. Lock the person before.
    pub(crate) async fn open<Tx: FactorTx>(
        &self,
        tx: &mut Tx,
        person: Tx::Person,
        with: Option<&str>,
    ) -> DbResult<Opened> {
        let (opened, ended) = tx.open(self.id, person, &self.mac, self.seconds, self.device).await?;
        let mut changes = Map::new();
        if ended > 0 {
            changes.insert("sessions_ended".to_owned(), ended.into());
        }
        if let Some(with) = with {
            changes.insert("with".to_owned(), with.into());
        }
        let (actor, target) = (person.to_string(), self.id.to_string());
        tx.audit(&self.request.entry(self.at, &actor, "login", &target, changes.into())).await?;
        Ok(opened)
    }
}

/// What a right password opens.
pub(crate) struct Open<'a> {
    pub(crate) rule: &'a SecondFactorRule,
    pub(crate) stored: &'a str,
    pub(crate) renewal: Option<&'a Renewal>,
    pub(crate) session: NewSession<'a>,
}

impl Open<'_> {
    pub(crate) async fn run<Tx: FactorTx>(
        &self,
        tx: &mut Tx,
        person: Tx::Person,
    ) -> DbResult<Opening<(RoleName, Opened)>> {
        let Some(role) = tx.lock_with_password(person, self.stored).await? else {
            return Ok(Opening::Changed);
        };
        if let Some(Renewal { stored, renewed }) = self.renewal {
            tx.renew_password_hash(person, stored, renewed).await?;
        }
        let has_factor = tx.has_factor(person).await?;
        if has_factor || Tx::requires(self.rule, role) {
            return Ok(Opening::NeedsCode { enrols: !has_factor });
        }
        Ok(Opening::Opened((role, self.session.open(tx, person, None).await?)))
    }
}
