//! Refresh tokens: opaque texts that keep a login alive.
//!
//! `bh_rt_<locator>_<secret>`. The locator says whose session it is: `t`, the tenant's and the session's ids for a
//! tenant's person, `o` and the session's id for an operator; so a server goes straight to one row of one schema. The
//! secret is 256 bits in base64url. Only an HMAC of the whole text is stored. Replacing a token is one SQL statement,
//! written elsewhere; what replaces it is computed from it here, so a client that lost the answer and asks again within
//! the grace period gets the same successor instead of a second one.
//!
//! Refuses to say whether a well-formed token is good: its ids are a claim until the HMAC has matched.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bulkhead_domain::{SessionId, TenantId};

use crate::{
    keyring::{Keyring, Purpose},
    random::{self, NoEntropy},
};

/// The word that tells a refresh token from an API key.
pub(crate) const MARK: &str = "rt";
/// How many characters an id has without its type prefix.
const ID_LENGTH: usize = 26;

/// Where a session's row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOwner {
    /// In this tenant's schema: the session of one of its people.
    Tenant(TenantId),
    /// On the platform: an operator's session.
    Operator,
}

/// A refresh token as a caller holds it. Its `Debug` shows which session it names and never the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// Whose session it claims to continue.
    pub owner: SessionOwner,
    /// Which session it claims to continue.
    pub session: SessionId,
    text: String,
}

/// The text is not a well-formed refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed refresh token")]
pub struct MalformedRefreshToken;

impl RefreshToken {
    /// Makes the first token of a session.
    pub fn issue(owner: SessionOwner, session: SessionId) -> Result<Self, NoEntropy> {
        Ok(Self::write(owner, session, &random::bytes()?))
    }

    /// Reads a token. Says nothing about whether such a session exists.
    pub fn parse(text: &str) -> Result<Self, MalformedRefreshToken> {
        let read = || {
            let (locator, secret) =
                text.strip_prefix("bh_")?.strip_prefix(MARK)?.strip_prefix('_')?.split_once('_')?;
            let (owner, session) = read_locator(locator)?;
            let secret: [u8; 32] = URL_SAFE_NO_PAD.decode(secret).ok()?.try_into().ok()?;
            Some(Self::write(owner, session, &secret))
        };
        read().ok_or(MalformedRefreshToken)
    }

    /// The token that replaces this one. Always the same: only the server can compute it, and only from the whole of
    /// its predecessor.
    #[must_use]
    pub fn successor(&self, keyring: &Keyring) -> Self {
        let secret = keyring.mac(Purpose::RefreshSuccessor, self.text.as_bytes());
        Self::write(self.owner, self.session, &secret)
    }

    /// Whether this token was replaced, at most `replacements` times, by the one that is stored: it is genuine but spent,
    /// and whoever sends it now is not the one who got the latest. Each step takes about a microsecond.
    pub fn leads_to(&self, keyring: &Keyring, stored_mac: &[u8], replacements: usize) -> bool {
        let descendants =
            std::iter::successors(Some(self.successor(keyring)), |token| Some(token.successor(keyring)));
        descendants.take(replacements).any(|token| token.matches(keyring, stored_mac))
    }

    /// The whole token, to be given to the client.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What is stored of the token.
    pub fn mac(&self, keyring: &Keyring) -> [u8; 32] {
        keyring.mac(Purpose::RefreshToken, self.text.as_bytes())
    }

    /// Whether a stored value is this token's, in constant time.
    pub fn matches(&self, keyring: &Keyring, stored_mac: &[u8]) -> bool {
        keyring.mac_matches(Purpose::RefreshToken, self.text.as_bytes(), stored_mac)
    }

    fn write(owner: SessionOwner, session: SessionId, secret: &[u8; 32]) -> Self {
        let session_text = session.to_string();
        let session_digits = session_text.trim_start_matches(SessionId::PREFIX);
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let text = match owner {
            SessionOwner::Tenant(tenant) => {
                let tenant = tenant.to_string();
                let tenant_digits = tenant.trim_start_matches(TenantId::PREFIX);
                format!("bh_{MARK}_t{tenant_digits}{session_digits}_{secret}")
            }
            SessionOwner::Operator => format!("bh_{MARK}_o{session_digits}_{secret}"),
        };
        Self { owner, session, text }
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshToken({} of {:?})", self.session, self.owner)
    }
}

fn read_locator(locator: &str) -> Option<(SessionOwner, SessionId)> {
    let session = |digits: &str| format!("{}{digits}", SessionId::PREFIX).parse().ok();
    if let Some(ids) = locator.strip_prefix('t') {
        let (tenant, digits) = ids.split_at_checked(ID_LENGTH)?;
        let tenant = format!("{}{tenant}", TenantId::PREFIX).parse().ok()?;
        Some((SessionOwner::Tenant(tenant), session(digits)?))
    } else {
        Some((SessionOwner::Operator, session(locator.strip_prefix('o')?)?))
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::api_key::ApiKey;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn keyring(byte: u8) -> Keyring {
        let text = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        Keyring::new(&text.parse().unwrap()).unwrap()
    }

    fn owner(tenant: Option<[u8; 16]>) -> SessionOwner {
        tenant.map_or(SessionOwner::Operator, |bytes| {
            SessionOwner::Tenant(TenantId::from_uuid(Uuid::from_bytes(bytes)))
        })
    }

    proptest! {
        #[test]
        fn a_token_is_read_back_as_it_was_issued(tenant: Option<[u8; 16]>, session: [u8; 16]) {
            let session = SessionId::from_uuid(Uuid::from_bytes(session));
            let token = RefreshToken::issue(owner(tenant), session).unwrap();
            prop_assert_eq!(RefreshToken::parse(token.reveal()), Ok(token.clone()));
            prop_assert!(ApiKey::parse(token.reveal()).is_err());
            prop_assert_ne!(token, RefreshToken::issue(owner(tenant), session).unwrap());
        }

        #[test]
        fn a_changed_token_never_matches(tenant: Option<[u8; 16]>, at: prop::sample::Index, to in "[0-9a-zA-Z_-]") {
            let keyring = keyring(1);
            let token = RefreshToken::issue(owner(tenant), SessionId::from_uuid(Uuid::nil())).unwrap();
            let stored = token.mac(&keyring);
            let mut text = token.reveal().to_owned();
            let at = at.index(text.len());
            text.replace_range(at..=at, &to);
            let accepted = RefreshToken::parse(&text).is_ok_and(|changed| changed.matches(&keyring, &stored));
            prop_assert_eq!(accepted, text == token.reveal());
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "\\PC*", tail in "bh_rt_[to][0-9a-z]{26,53}_[0-9A-Za-z_-]{41,45}", wide in "bh_rt_t\\PC{20,60}_\\PC{40,45}") {
            for text in [text, tail, wide] {
                if let Ok(token) = RefreshToken::parse(&text) {
                    prop_assert_eq!(token.reveal(), text);
                }
            }
        }
    }

    #[test]
    fn a_successor_is_the_same_each_time_and_unlike_its_predecessor() {
        let owner = owner(Some([1; 16]));
        let first = RefreshToken::issue(owner, SessionId::from_uuid(Uuid::nil())).unwrap();
        let (second, again) = (first.successor(&keyring(1)), first.successor(&keyring(1)));
        assert_eq!(second, again);
        assert_eq!((second.owner, second.session), (first.owner, first.session));
        assert_eq!(RefreshToken::parse(second.reveal()), Ok(second.clone()));
        assert_ne!(second, first);
        assert_ne!(second, first.successor(&keyring(2)));
        assert_ne!(second, second.successor(&keyring(1)));
        // Whoever can read what is stored of a token must not be able to write down the next one.
        assert!(!second.reveal().contains(&URL_SAFE_NO_PAD.encode(first.mac(&keyring(1)))));
        assert!(!second.matches(&keyring(1), &first.mac(&keyring(1))));
    }

    #[test]
    fn an_earlier_token_of_a_session_is_recognised_and_no_other() {
        let keyring = keyring(1);
        let first = RefreshToken::issue(SessionOwner::Operator, SessionId::from_uuid(Uuid::nil())).unwrap();
        let stranger = RefreshToken::issue(first.owner, first.session).unwrap();
        let third = first.successor(&keyring).successor(&keyring);
        let stored = third.mac(&keyring);
        for (replacements, known) in [(0, false), (1, false), (2, true), (100, true)] {
            assert_eq!(first.leads_to(&keyring, &stored, replacements), known, "{replacements}");
        }
        assert!(!third.leads_to(&keyring, &stored, 100), "the token in force is not spent");
        assert!(!third.leads_to(&keyring, &first.mac(&keyring), 100), "a later token does not lead back");
        assert!(!stranger.leads_to(&keyring, &stored, 100));
    }

    #[test]
    fn malformed_texts_are_refused() {
        let good = RefreshToken::issue(owner(Some([1; 16])), SessionId::from_uuid(Uuid::nil())).unwrap();
        let good = good.reveal();
        let wrong_kind = good.replacen("_t", "_o", 1);
        for bad in [
            "",
            "bh_rt_",
            "bh_rt__",
            &good[1..],
            &good[..good.len() - 1],
            &format!("{good}="),
            &format!("{good} "),
            &good.to_uppercase(),
            &wrong_kind,
        ] {
            assert_eq!(RefreshToken::parse(bad), Err(MalformedRefreshToken), "{bad:?} was accepted");
        }
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let token = RefreshToken::issue(SessionOwner::Operator, SessionId::from_uuid(Uuid::nil())).unwrap();
        let (_, secret) = token.reveal().split_at(token.reveal().len() - 43);
        assert!(!format!("{token:?}").contains(secret));
    }
}
