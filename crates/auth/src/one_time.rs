//! Secrets that work once: what is in a link with which a person sets a new password.
//!
//! Owns their text, `bh_pr_…` in the form of [`opaque`](crate::opaque), and what is stored of it: an HMAC. The row is removed by
//! the statement that uses it, so that of any number of callers one has it. Refuses to say whether one is still good.

use std::fmt;

use bulkhead_domain::{OneTimeTokenId, TenantId};

use crate::{
    keyring::{Keyring, Purpose},
    opaque::{Form, SessionOwner},
    random::{self, NoEntropy},
};

pub(crate) const FORM: Form = Form { mark: "pr", tag: Purpose::OneTimeTag, prefix: OneTimeTokenId::PREFIX };

/// A token for a new password of one person of a tenant. Its `Debug` never shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ResetToken {
    /// Whose person it is for.
    pub tenant: TenantId,
    /// Its row.
    pub id: OneTimeTokenId,
    text: String,
}

/// The text is not a token that we have issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token of ours")]
pub struct ForeignToken;

impl ResetToken {
    /// Makes one.
    pub fn issue(keyring: &Keyring, tenant: TenantId, id: OneTimeTokenId) -> Result<Self, NoEntropy> {
        let owner = SessionOwner::Tenant(tenant);
        let text = FORM.write(keyring, owner, &id.to_string(), &random::bytes()?);
        Ok(Self { tenant, id, text })
    }

    /// Reads one that we have issued.
    pub fn parse(keyring: &Keyring, text: &str) -> Result<Self, ForeignToken> {
        let (owner, id) = FORM.read(keyring, text).ok_or(ForeignToken)?;
        let SessionOwner::Tenant(tenant) = owner else { return Err(ForeignToken) };
        let id = id.parse().map_err(|_not_an_id| ForeignToken)?;
        Ok(Self { tenant, id, text: text.to_owned() })
    }

    /// The whole token, to be given to the person.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What is stored of it.
    pub fn mac(&self, keyring: &Keyring) -> [u8; 32] {
        keyring.mac(Purpose::OneTimeToken, self.text.as_bytes())
    }
}

impl fmt::Debug for ResetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResetToken({} of {})", self.id, self.tenant)
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::SessionId;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{root_key::RootKey, session::RefreshToken};

    fn keyring(byte: u8) -> Keyring {
        Keyring::new(&RootKey::from([byte; 32])).unwrap()
    }

    fn token(tenant: u8, id: u8) -> ResetToken {
        let [tenant, id] = [tenant, id].map(|byte| Uuid::from_bytes([byte; 16]));
        ResetToken::issue(&keyring(1), TenantId::from_uuid(tenant), OneTimeTokenId::from_uuid(id)).unwrap()
    }

    proptest! {
        #[test]
        fn only_what_was_issued_is_read(tenant: u8, id: u8, at: prop::sample::Index, to in "[0-9a-zA-Z_-]") {
            let token = token(tenant, id);
            prop_assert_eq!(ResetToken::parse(&keyring(1), token.reveal()), Ok(token.clone()));
            prop_assert_eq!(ResetToken::parse(&keyring(2), token.reveal()), Err(ForeignToken));
            let mut changed = token.reveal().to_owned();
            let at = at.index(changed.len());
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(ResetToken::parse(&keyring(1), &changed).is_ok(), changed == token.reveal());
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "\\PC*", tail in "bh_pr_[to][0-9a-z]{26,53}_[0-9A-Za-z_-]{41,66}") {
            for text in [text, tail] {
                prop_assert_eq!(ResetToken::parse(&keyring(1), &text), Err(ForeignToken));
            }
        }
    }

    /// The kinds of secrets have one form, and a tag each of their own.
    #[test]
    fn a_refresh_token_is_no_reset_token_and_the_other_way_round() {
        let keyring = keyring(1);
        let reset = token(1, 2);
        let session = SessionId::from_uuid(Uuid::from_bytes([2; 16]));
        let refresh = RefreshToken::issue(&keyring, SessionOwner::Tenant(reset.tenant), session).unwrap();
        for text in [refresh.reveal().to_owned(), refresh.reveal().replacen("_rt_", "_pr_", 1)] {
            assert_eq!(ResetToken::parse(&keyring, &text), Err(ForeignToken));
        }
        for text in [reset.reveal().to_owned(), reset.reveal().replacen("_pr_", "_rt_", 1)] {
            assert!(RefreshToken::parse(&keyring, &text).is_err());
        }
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let token = token(1, 2);
        let secret = token.reveal().rsplit('_').next().unwrap();
        assert!(!format!("{token:?}").contains(secret));
    }
}
