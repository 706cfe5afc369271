//! Refresh tokens: opaque texts that keep a login alive, in the form of [`opaque`](crate::opaque).
//!
//! Each carries a tag, so a token that was replaced long ago is still recognised as one of its session. Only an HMAC of the whole
//! text is stored. Replacing a token is one SQL statement, written elsewhere; what replaces it is computed from it here, so a
//! client that lost the answer and asks again gets the same successor instead of a second one.
//!
//! Refuses to say whether a genuine token is still in force: that is in the session's row.

use std::fmt;

use bulkhead_domain::SessionId;

pub use crate::opaque::SessionOwner;
use crate::{
    keyring::{Keyring, Purpose},
    opaque::{Form, SECRET_LENGTH},
    random::{self, NoEntropy},
};

/// The word that tells a refresh token from an API key.
pub(crate) const MARK: &str = "rt";

const FORM: Form = Form { mark: MARK, tag: Purpose::RefreshTag, prefix: SessionId::PREFIX };

/// A refresh token that we have issued. Its `Debug` shows which session it belongs to and never the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// Whose session it belongs to.
    pub owner: SessionOwner,
    /// Which session it belongs to.
    pub session: SessionId,
    text: String,
}

/// The text is not a refresh token that we have issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token of ours")]
pub struct ForeignRefreshToken;

impl RefreshToken {
    /// Makes the first token of a session.
    pub fn issue(keyring: &Keyring, owner: SessionOwner, session: SessionId) -> Result<Self, NoEntropy> {
        Ok(Self::write(keyring, owner, session, &random::bytes()?))
    }

    /// Reads a token that we have issued, in constant time where its secret and tag are concerned. Says nothing about
    /// whether its session still exists, nor whether the token is still in force.
    pub fn parse(keyring: &Keyring, text: &str) -> Result<Self, ForeignRefreshToken> {
        let (owner, session) = FORM.read(keyring, text).ok_or(ForeignRefreshToken)?;
        let session = session.parse().map_err(|_not_an_id| ForeignRefreshToken)?;
        Ok(Self { owner, session, text: text.to_owned() })
    }

    /// The token that replaces this one. Always the same: only the server can compute it, and only from the whole of
    /// its predecessor.
    #[must_use]
    pub fn successor(&self, keyring: &Keyring) -> Self {
        let secret = keyring.mac(Purpose::RefreshSuccessor, self.text.as_bytes());
        Self::write(keyring, self.owner, self.session, &secret)
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

    fn write(
        keyring: &Keyring,
        owner: SessionOwner,
        session: SessionId,
        secret: &[u8; SECRET_LENGTH],
    ) -> Self {
        let text = FORM.write(keyring, owner, &session.to_string(), secret);
        Self { owner, session, text }
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshToken({} of {:?})", self.session, self.owner)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use bulkhead_domain::{TenantId, api_key::ApiKey};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{opaque::TAG_LENGTH, root_key::RootKey};

    fn keyring(byte: u8) -> Keyring {
        Keyring::new(&RootKey::from([byte; 32])).unwrap()
    }

    fn owner(tenant: Option<[u8; 16]>) -> SessionOwner {
        tenant.map_or(SessionOwner::Operator, |bytes| {
            SessionOwner::Tenant(TenantId::from_uuid(Uuid::from_bytes(bytes)))
        })
    }

    /// What comes before secret and tag, and these.
    fn parts(token: &RefreshToken) -> (&str, &str) {
        token.reveal().split_at(token.reveal().len() - 64)
    }

    proptest! {
        #[test]
        fn a_token_is_read_back_as_it_was_issued(tenant: Option<[u8; 16]>, session: [u8; 16]) {
            let session = SessionId::from_uuid(Uuid::from_bytes(session));
            let issue = || RefreshToken::issue(&keyring(1), owner(tenant), session).unwrap();
            let token = issue();
            prop_assert_eq!(RefreshToken::parse(&keyring(1), token.reveal()), Ok(token.clone()));
            prop_assert_eq!(RefreshToken::parse(&keyring(2), token.reveal()), Err(ForeignRefreshToken));
            prop_assert!(ApiKey::parse(token.reveal()).is_err());
            prop_assert_ne!(token, issue());
        }

        #[test]
        fn a_changed_token_is_not_ours(tenant: Option<[u8; 16]>, at: prop::sample::Index, to in "[0-9a-zA-Z_-]") {
            let keyring = keyring(1);
            let token = RefreshToken::issue(&keyring, owner(tenant), SessionId::from_uuid(Uuid::nil())).unwrap();
            let mut text = token.reveal().to_owned();
            let at = at.index(text.len());
            text.replace_range(at..=at, &to);
            prop_assert_eq!(RefreshToken::parse(&keyring, &text).is_ok(), text == token.reveal());
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "\\PC*", tail in "bh_rt_[to][0-9a-z]{26,53}_[0-9A-Za-z_-]{41,66}", wide in "bh_rt_t\\PC{20,60}_\\PC{40,45}") {
            for text in [text, tail, wide] {
                prop_assert_eq!(RefreshToken::parse(&keyring(1), &text), Err(ForeignRefreshToken));
            }
        }
    }

    #[test]
    fn a_successor_is_the_same_each_time_and_unlike_its_predecessor() {
        let owner = owner(Some([1; 16]));
        let first = RefreshToken::issue(&keyring(1), owner, SessionId::from_uuid(Uuid::nil())).unwrap();
        let (second, again) = (first.successor(&keyring(1)), first.successor(&keyring(1)));
        assert_eq!(second, again);
        assert_eq!((second.owner, second.session), (first.owner, first.session));
        assert_eq!(RefreshToken::parse(&keyring(1), second.reveal()), Ok(second.clone()));
        assert_ne!(second, first);
        assert_ne!(second, first.successor(&keyring(2)));
        assert_ne!(second, second.successor(&keyring(1)));
        // An attacker who can read what is stored of a token must not be able to write down the next one.
        assert!(!second.reveal().contains(&URL_SAFE_NO_PAD.encode(first.mac(&keyring(1)))));
        assert!(!second.matches(&keyring(1), &first.mac(&keyring(1))));
    }

    /// A secret of one session, or one without a tag as the first versions wrote it, is nothing to another session.
    #[test]
    fn the_tag_holds_owner_session_and_secret_together() {
        let keyring = keyring(1);
        let session = |byte| SessionId::from_uuid(Uuid::from_bytes([byte; 16]));
        let issue = |owner, session| RefreshToken::issue(&keyring, owner, session).unwrap();
        let token = issue(owner(Some([1; 16])), session(1));
        let (_, tail) = parts(&token);
        for (owner, session) in [
            (owner(Some([2; 16])), session(1)),
            (owner(Some([1; 16])), session(2)),
            (SessionOwner::Operator, session(1)),
        ] {
            let other = issue(owner, session);
            let (head, _) = parts(&other);
            assert_eq!(RefreshToken::parse(&keyring, &format!("{head}{tail}")), Err(ForeignRefreshToken));
        }
        let bytes = URL_SAFE_NO_PAD.decode(tail).unwrap();
        let (head, _) = parts(&token);
        for length in [SECRET_LENGTH, SECRET_LENGTH + 1, SECRET_LENGTH + TAG_LENGTH - 1] {
            let cut = format!("{head}{}", URL_SAFE_NO_PAD.encode(&bytes[..length]));
            assert_eq!(RefreshToken::parse(&keyring, &cut), Err(ForeignRefreshToken), "{length}");
        }
    }

    #[test]
    fn malformed_texts_are_refused() {
        let keyring = keyring(1);
        let good =
            RefreshToken::issue(&keyring, owner(Some([1; 16])), SessionId::from_uuid(Uuid::nil())).unwrap();
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
            assert_eq!(RefreshToken::parse(&keyring, bad), Err(ForeignRefreshToken), "{bad:?} was accepted");
        }
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let session = SessionId::from_uuid(Uuid::nil());
        let token = RefreshToken::issue(&keyring(1), SessionOwner::Operator, session).unwrap();
        let (_, secret) = parts(&token);
        assert!(!format!("{token:?}").contains(secret));
    }
}
