//! One-time tokens that are computed from their row, for links in mails.
//!
//! A job sends the mail, and no job's payload holds a secret: the job knows the row, and the keyring makes the token of it. The
//! secret is an HMAC of what the token is for, of whom, of the row's id and of the moment when it expires; so a row that is given
//! another expiry has another token. Owns their text, `bh_iv_…`, `bh_rg_…`, `bh_su_…` and `bh_pr_…` in the form of
//! [`opaque`](crate::opaque). Refuses to say whether one is still good: that is in the row, beside an HMAC of the token.

use std::fmt;

use bulkhead_domain::OneTimeTokenId;
use chrono::{DateTime, Utc};

use crate::{
    keyring::{Keyring, Purpose},
    one_time::{self, ForeignToken},
    opaque::{Form, SessionOwner},
};

/// What such a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A person of a tenant sets a new password. Its text is that of a [`ResetToken`](crate::ResetToken).
    PasswordReset,
    /// A person who is invited to a tenant accepts.
    Invitation,
    /// A person who has registered with a tenant shows that the address is theirs.
    Registration,
    /// The same for the first owner of a tenant that is to come.
    SignUp,
}

impl LinkKind {
    const fn form(self) -> Form {
        let (mark, tag) = match self {
            Self::PasswordReset => return one_time::FORM,
            Self::Invitation => ("iv", Purpose::InvitationTag),
            Self::Registration => ("rg", Purpose::RegistrationTag),
            Self::SignUp => ("su", Purpose::SignUpTag),
        };
        Form { mark, tag, prefix: OneTimeTokenId::PREFIX }
    }
}

/// A token of this sort. Its `Debug` never shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkToken {
    /// Where its row is.
    pub owner: SessionOwner,
    /// Its row.
    pub id: OneTimeTokenId,
    text: String,
}

impl LinkToken {
    /// The token of a row that expires then. PostgreSQL keeps microseconds, and so many count: a moment that was cut to them is the
    /// same after it was stored.
    pub fn of(
        keyring: &Keyring,
        kind: LinkKind,
        owner: SessionOwner,
        id: OneTimeTokenId,
        expires_at: DateTime<Utc>,
    ) -> Self {
        let form = kind.form();
        let tenant = match owner {
            SessionOwner::Tenant(tenant) => tenant.to_string(),
            SessionOwner::Operator => String::new(),
        };
        let micros = expires_at.timestamp_micros().to_be_bytes();
        let uuid = id.uuid();
        let parts: [&[u8]; 4] = [form.mark.as_bytes(), tenant.as_bytes(), uuid.as_bytes(), &micros];
        let secret = keyring.mac_of_parts(Purpose::LinkSecret, &parts);
        Self { owner, id, text: form.write(keyring, owner, &id.to_string(), &secret) }
    }

    /// Reads one of this kind that we have issued.
    pub fn parse(keyring: &Keyring, kind: LinkKind, text: &str) -> Result<Self, ForeignToken> {
        let (owner, id) = kind.form().read(keyring, text).ok_or(ForeignToken)?;
        let id = id.parse().map_err(|_not_an_id| ForeignToken)?;
        Ok(Self { owner, id, text: text.to_owned() })
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

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkToken({} of {:?})", self.id, self.owner)
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::TenantId;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{one_time::ResetToken, root_key::RootKey};

    const KINDS: [LinkKind; 4] =
        [LinkKind::PasswordReset, LinkKind::Invitation, LinkKind::Registration, LinkKind::SignUp];
    const AT: DateTime<Utc> = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();

    fn keyring(byte: u8) -> Keyring {
        Keyring::new(&RootKey::from([byte; 32])).unwrap()
    }

    fn tenant(byte: u8) -> SessionOwner {
        SessionOwner::Tenant(TenantId::from_uuid(Uuid::from_bytes([byte; 16])))
    }

    fn id(byte: u8) -> OneTimeTokenId {
        OneTimeTokenId::from_uuid(Uuid::from_bytes([byte; 16]))
    }

    /// The end of a token: base64url, which has underscores too.
    fn secret_and_tag(text: &str) -> &str {
        &text[text.len() - 64..]
    }

    #[test]
    fn the_row_and_the_key_make_the_token_and_nothing_less() {
        for kind in KINDS {
            let token = |ring, owner, row, at| LinkToken::of(&keyring(ring), kind, owner, id(row), at).text;
            let one = token(1, tenant(1), 2, AT);
            assert_eq!(one, token(1, tenant(1), 2, AT), "it is computed again when the mail is sent again");
            let others = [
                token(2, tenant(1), 2, AT),
                token(1, tenant(2), 2, AT),
                token(1, SessionOwner::Operator, 2, AT),
                token(1, tenant(1), 3, AT),
                token(1, tenant(1), 2, AT + chrono::TimeDelta::microseconds(1)),
            ];
            let secret = |text: &str| secret_and_tag(text)[..40].to_owned();
            for other in others {
                assert_ne!(secret(&one), secret(&other));
            }
        }
    }

    /// Each kind is refused as each other, also under its mark.
    #[test]
    fn no_kind_is_another() {
        let keyring = keyring(1);
        for kind in KINDS {
            let token = LinkToken::of(&keyring, kind, tenant(1), id(2), AT);
            assert_eq!(LinkToken::parse(&keyring, kind, token.reveal()), Ok(token.clone()));
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                let (own, mark) = (format!("_{}_", kind.form().mark), format!("_{}_", other.form().mark));
                for text in [token.reveal().to_owned(), token.reveal().replacen(&own, &mark, 1)] {
                    assert_eq!(
                        LinkToken::parse(&keyring, other, &text),
                        Err(ForeignToken),
                        "{kind:?} {other:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_new_password_takes_both_sorts_of_tokens() {
        let keyring = keyring(1);
        let mailed = LinkToken::of(&keyring, LinkKind::PasswordReset, tenant(1), id(2), AT);
        let read = ResetToken::parse(&keyring, mailed.reveal()).unwrap();
        assert_eq!((read.id, read.mac(&keyring)), (mailed.id, mailed.mac(&keyring)));
    }

    proptest! {
        #[test]
        fn only_what_was_issued_is_read(which in 0..4_usize, row: u8, at: prop::sample::Index, to in "[0-9a-zA-Z_-]") {
            let token = LinkToken::of(&keyring(1), KINDS[which], tenant(1), id(row), AT);
            let mut changed = token.reveal().to_owned();
            let at = at.index(changed.len());
            changed.replace_range(at..=at, &to);
            let is_read = LinkToken::parse(&keyring(1), KINDS[which], &changed).is_ok();
            prop_assert_eq!(is_read, changed == token.reveal());
            prop_assert!(LinkToken::parse(&keyring(2), KINDS[which], token.reveal()).is_err());
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "\\PC*", tail in "bh_(iv|rg|su|pr)_[to][0-9a-z]{26,53}_[0-9A-Za-z_-]{41,66}") {
            for kind in KINDS {
                prop_assert!(LinkToken::parse(&keyring(1), kind, &text).is_err());
                prop_assert!(LinkToken::parse(&keyring(1), kind, &tail).is_err());
            }
        }
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let token = LinkToken::of(&keyring(1), LinkKind::Invitation, tenant(1), id(2), AT);
        let secret = secret_and_tag(token.reveal());
        assert!(!format!("{token:?}").contains(&secret[..20]));
    }
}
