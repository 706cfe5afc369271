//! Secrets of operators beside their sessions: the token with which one sets a password, and the keys of their programs.
//!
//! Owns their texts, in the form of [`opaque`](crate::opaque), and the look-up of a key. A key is read for each request together
//! with its operator's present role, and never remembered: operators' programs are few, and so what the operator loses the
//! key has lost at once. Refuses keys what makes credentials or hides who acts ([`WITHHELD`]), whatever their scopes say.

use std::fmt;

use bulkhead_db::{
    Authority, Db, DbError, DbResult, PlatformTx,
    platform::{audit, operator_keys, operator_roles, operators, revocations},
};
use bulkhead_domain::{Evidence, OperatorId, OperatorKeyId, Proven, Role, RoleName};
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::{
    authenticator::{AuthError, Authenticated, Authenticator},
    keyring::{Keyring, Purpose},
    one_time::ForeignToken,
    opaque::{Form, SessionOwner},
    principal::Principal,
    random::{self, NoEntropy},
    request::Request,
    session_tx::SessionTx as _,
};

/// What no key of an operator may use.
pub const WITHHELD: [&str; 4] =
    ["write:operators", "write:operator_keys", "write:all_identity_providers", "impersonate:tenant"];

const KEY: Form = Form { mark: "ok", tag: Purpose::OperatorKeyTag, prefix: OperatorKeyId::PREFIX };
/// What every key begins with.
const KEY_PREFIX: &str = "bh_ok_";
/// How long secret and tag are in base64url, with the underscore before them.
const TAIL: usize = 65;

/// The same mark as that of a tenant's people: it is used at the same place. The row is the operator's own.
const RESET: Form = Form { mark: "pr", tag: Purpose::OneTimeTag, prefix: OperatorId::PREFIX };

/// An API key of an operator. Its `Debug` never shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorKey {
    /// Its row.
    pub id: OperatorKeyId,
    text: String,
}

impl OperatorKey {
    /// Makes one.
    pub fn issue(keyring: &Keyring, id: OperatorKeyId) -> Result<Self, NoEntropy> {
        let text = KEY.write(keyring, SessionOwner::Operator, &id.to_string(), &random::bytes()?);
        Ok(Self { id, text })
    }

    /// Whether a credential is meant as such a key.
    pub(crate) fn looks_like(text: &str) -> bool {
        text.starts_with(KEY_PREFIX)
    }

    /// Reads one that we have issued.
    pub fn parse(keyring: &Keyring, text: &str) -> Result<Self, ForeignToken> {
        let Some((SessionOwner::Operator, id)) = KEY.read(keyring, text) else { return Err(ForeignToken) };
        let id = id.parse().map_err(|_not_an_id| ForeignToken)?;
        Ok(Self { id, text: text.to_owned() })
    }

    /// The whole key, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The beginning of the key that may be shown for ever.
    pub fn hint(&self) -> &str {
        self.text.get(..self.text.len().saturating_sub(TAIL)).unwrap_or_default()
    }

    /// What is stored of it.
    pub fn mac(&self, keyring: &Keyring) -> [u8; 32] {
        keyring.mac(Purpose::OperatorKey, self.text.as_bytes())
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorKey({})", self.id)
    }
}

/// A token with which an operator sets a password. Its `Debug` never shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorResetToken {
    /// Whose password it sets.
    pub operator: OperatorId,
    text: String,
}

impl OperatorResetToken {
    /// Makes one.
    pub fn issue(keyring: &Keyring, operator: OperatorId) -> Result<Self, NoEntropy> {
        let text = RESET.write(keyring, SessionOwner::Operator, &operator.to_string(), &random::bytes()?);
        Ok(Self { operator, text })
    }

    /// Reads one that we have issued.
    pub fn parse(keyring: &Keyring, text: &str) -> Result<Self, ForeignToken> {
        let Some((SessionOwner::Operator, id)) = RESET.read(keyring, text) else { return Err(ForeignToken) };
        let operator = id.parse().map_err(|_not_an_id| ForeignToken)?;
        Ok(Self { operator, text: text.to_owned() })
    }

    /// The whole token, to be given to the operator.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What is stored of it.
    pub fn mac(&self, keyring: &Keyring) -> [u8; 32] {
        keyring.mac(Purpose::OneTimeToken, self.text.as_bytes())
    }
}

impl fmt::Debug for OperatorResetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorResetToken(of {})", self.operator)
    }
}

/// What an operator has set a password with, for the audit log.
#[derive(Clone, Copy, Debug)]
pub struct OperatorReset<'a> {
    /// The request.
    pub request: Request<'a>,
    /// The operation's id.
    pub action: &'static str,
    /// Now.
    pub at: DateTime<Utc>,
}

impl Authenticator {
    /// Reads a token with which an operator sets a password, and looks whether it is good; with the operator's address. `None`
    /// for any other text, which may be a token of a tenant's person. [`AuthError::Lapsed`] for one that was used, replaced or
    /// has expired.
    pub async fn find_operator_reset(
        &self,
        db: &Db,
        text: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<(OperatorResetToken, String)>, AuthError> {
        let Ok(token) = OperatorResetToken::parse(&self.keyring, text) else { return Ok(None) };
        let miss = self.cache.miss(text);
        if self.cache.has_lapsed(&miss, now) {
            return Err(AuthError::Lapsed);
        }
        let (id, mac) = (token.operator, token.mac(&self.keyring));
        let find = async |tx: &mut _| operators::find_token(tx, id, &mac).await;
        let Some(email) = db.platform_read::<_, DbError>(Authority::credentials(), find).await? else {
            self.cache.put_lapsed(miss, now);
            return Err(AuthError::Lapsed);
        };
        Ok(Some((token, email)))
    }

    /// Sets an operator's password with a token, which is used up by that, and ends their sessions; whether it was still good.
    pub async fn set_operator_password(
        &self,
        db: &Db,
        token: &OperatorResetToken,
        hash: &str,
        by: &OperatorReset<'_>,
    ) -> Result<bool, DbError> {
        let (id, mac) = (token.operator, token.mac(&self.keyring));
        let set = async |tx: &mut PlatformTx| {
            if !operators::spend_token(tx, id, &mac, hash, by.at).await? {
                return Ok(false);
            }
            let ended = tx.end_others(id, None).await?;
            revocations::revoke_operator(tx, id).await?;
            let subject = id.to_string();
            let changes = json!({ "sessions_ended": ended });
            let entry = by.request.entry(by.at, &subject, by.action, &subject, changes);
            audit::record(tx, &entry).await?;
            Ok::<_, DbError>(true)
        };
        db.platform_write(Authority::credentials(), set).await
    }

    /// A key of an operator is looked up each time, unless it is one that is known to be good no more, or none of ours. Its tag
    /// shows that we have issued it, so nobody guesses with it.
    pub(crate) async fn authenticate_operator_key(
        &self,
        db: &Db,
        text: &str,
        now: DateTime<Utc>,
    ) -> Result<Authenticated, AuthError> {
        let miss = self.cache.miss(text);
        if self.cache.has_lapsed(&miss, now) {
            return Err(AuthError::Lapsed);
        }
        let verified = self.verify_operator_key(db, text).await;
        if matches!(verified, Err(AuthError::Lapsed)) {
            self.cache.put_lapsed(miss, now);
        }
        Ok(Authenticated { principal: verified?, tenant: None, limit: None })
    }

    /// The program whose key this is. [`AuthError::Invalid`] for a text that we have not issued, before anything is looked up;
    /// [`AuthError::Lapsed`] for a key that was revoked, has expired or went with its operator.
    async fn verify_operator_key(&self, db: &Db, text: &str) -> Result<Principal, AuthError> {
        let key = OperatorKey::parse(&self.keyring, text).map_err(|_foreign| AuthError::Invalid)?;
        let id = key.id;
        let look = async |tx: &mut _| {
            let Some(found) = operator_keys::find_credential(tx, id).await? else { return Ok(None) };
            let role = stored_role(tx, self, found.role).await?;
            Ok::<_, DbError>(Some((found, role)))
        };
        let (found, role) =
            db.platform_read(Authority::credentials(), look).await?.ok_or(AuthError::Lapsed)?;
        let is_its = self.keyring.mac_matches(Purpose::OperatorKey, text.as_bytes(), &found.mac);
        if !is_its || !found.is_working {
            return Err(AuthError::Lapsed);
        }
        if found.is_noted {
            let note = async |tx: &mut _| operator_keys::note_use(tx, id).await;
            db.platform_write::<_, DbError>(Authority::credentials(), note).await?;
        }
        let operators = self.access.operators();
        let role = operators.without(role.within(operators.scope(&found.scopes)), &WITHHELD);
        let operator = Proven::on(Evidence::OperatorKey, found.operator);
        Ok(Principal::OperatorKey { id, operator, role })
    }

    /// The same operator with what their role holds, where it is one that the platform has defined: read for each request, as
    /// operators are few, so that a change of the role counts at once.
    pub(crate) async fn with_operators_role(&self, db: &Db, principal: Principal) -> DbResult<Principal> {
        let role = principal.role();
        if !role.permissions().is_empty() {
            return Ok(principal);
        }
        let name = role.name();
        let look = async |tx: &mut _| stored_role(tx, self, name).await;
        let role = db.platform_read::<_, DbError>(Authority::credentials(), look).await?;
        Ok(principal.with_role(role))
    }
}

/// A role of operators with what it holds now.
async fn stored_role(tx: &mut PlatformTx, authenticator: &Authenticator, name: RoleName) -> DbResult<Role> {
    let operators = authenticator.access.operators();
    if operators.is_built_in(name) {
        return Ok(operators.role(name));
    }
    let entries = operator_roles::permissions(tx, name).await?;
    Ok(operators.own_role(name, &entries.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::{OneTimeTokenId, SessionId, TenantId, api_key::ApiKey};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{one_time::ResetToken, root_key::RootKey, session::RefreshToken};

    fn keyring(byte: u8) -> Keyring {
        Keyring::new(&RootKey::from([byte; 32])).unwrap()
    }

    fn key(id: u8) -> OperatorKey {
        OperatorKey::issue(&keyring(1), OperatorKeyId::from_uuid(Uuid::from_bytes([id; 16]))).unwrap()
    }

    fn token(id: u8) -> OperatorResetToken {
        OperatorResetToken::issue(&keyring(1), OperatorId::from_uuid(Uuid::from_bytes([id; 16]))).unwrap()
    }

    proptest! {
        #[test]
        fn only_what_was_issued_is_read(id: u8, at: prop::sample::Index, to in "[0-9a-zA-Z_-]") {
            let (key, token) = (key(id), token(id));
            prop_assert_eq!(OperatorKey::parse(&keyring(1), key.reveal()), Ok(key.clone()));
            prop_assert_eq!(OperatorResetToken::parse(&keyring(1), token.reveal()), Ok(token.clone()));
            prop_assert!(OperatorKey::parse(&keyring(2), key.reveal()).is_err());
            prop_assert!(OperatorResetToken::parse(&keyring(2), token.reveal()).is_err());
            for text in [key.reveal(), token.reveal()] {
                let mut changed = text.to_owned();
                let at = at.index(changed.len());
                changed.replace_range(at..=at, &to);
                let is_read = OperatorKey::parse(&keyring(1), &changed).is_ok()
                    || OperatorResetToken::parse(&keyring(1), &changed).is_ok();
                prop_assert_eq!(is_read, changed == text);
            }
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "\\PC*", tail in "bh_(ok|pr)_[to][0-9a-z]{26,53}_[0-9A-Za-z_-]{41,66}") {
            for text in [text, tail] {
                prop_assert_eq!(OperatorKey::parse(&keyring(1), &text), Err(ForeignToken));
                prop_assert_eq!(OperatorResetToken::parse(&keyring(1), &text), Err(ForeignToken));
            }
        }
    }

    /// Each kind has a tag of its own, also where the texts look alike.
    #[test]
    fn no_secret_of_one_kind_is_read_as_another() {
        let keyring = keyring(1);
        let uuid = Uuid::from_bytes([2; 16]);
        let tenant = TenantId::from_uuid(uuid);
        let session = SessionId::from_uuid(uuid);
        let refresh = RefreshToken::issue(&keyring, SessionOwner::Operator, session).unwrap();
        let reset = ResetToken::issue(&keyring, tenant, OneTimeTokenId::from_uuid(uuid)).unwrap();
        let (key, token) = (key(2), token(2));
        for mark in ["_rt_", "_pr_", "_ok_"] {
            for text in [refresh.reveal(), reset.reveal(), key.reveal(), token.reveal()] {
                let own = text.split_inclusive('_').nth(1).unwrap();
                let changed = text.replacen(&format!("_{own}"), mark, 1);
                assert_eq!(OperatorKey::parse(&keyring, &changed).is_ok(), changed == key.reveal());
                assert_eq!(OperatorResetToken::parse(&keyring, &changed).is_ok(), changed == token.reveal());
                assert_eq!(RefreshToken::parse(&keyring, &changed).is_ok(), changed == refresh.reveal());
                assert_eq!(ResetToken::parse(&keyring, &changed).is_ok(), changed == reset.reveal());
                assert!(ApiKey::parse(&changed).is_err());
            }
        }
    }

    #[test]
    fn what_is_shown_tells_nothing_of_the_secret() {
        let (key, token) = (key(2), token(2));
        assert_eq!(key.hint(), format!("bh_ok_o{}", key.id.to_string().trim_start_matches("opk_")));
        assert_eq!(key.hint().len() + TAIL, key.reveal().len());
        for shown in [format!("{key:?}"), format!("{token:?}"), key.hint().to_owned()] {
            assert!(!shown.contains(&key.reveal()[key.hint().len() + 1..]));
            assert!(!shown.contains(token.reveal().split_at(token.reveal().len() - 64).1));
        }
    }
}
