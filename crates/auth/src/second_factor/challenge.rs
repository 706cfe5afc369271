//! What a client holds between the two steps of a log-in: text that we have signed, of which nothing is stored.
//!
//! It names what was shown in the first step: the password, by what tells its hash from every other, and the identity at an issuer
//! if it was the issuer that has vouched for the person.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bulkhead_domain::{FederatedIdentityId, OperatorId, TenantId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    failed_login::Missed,
    keyring::{Keyring, Purpose},
    session::SessionOwner,
};

/// How long a challenge is good.
const CHALLENGE_LIFE: TimeDelta = TimeDelta::minutes(5);

/// What a client holds whose person has taken the first step and has to show a code. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(super) owner: SessionOwner,
    pub(super) person: Uuid,
    /// What tells the stored hash that has matched from every other one.
    password: [u8; 16],
    /// By which an issuer has vouched for the person.
    pub(super) identity: Option<FederatedIdentityId>,
    expires_at: DateTime<Utc>,
}

const PREFIX: &str = "bh_lc_";
/// A byte for the side, two ids, a time in seconds, what tells the hash, and the id of an identity or zeros.
const CLAIMS: usize = 1 + 16 + 16 + 8 + 16 + 16;

impl Challenge {
    /// That of a person whose password is the one with the hash `stored`.
    pub(crate) fn new(
        keyring: &Keyring,
        (owner, person): (SessionOwner, Uuid),
        stored: &str,
        now: DateTime<Utc>,
    ) -> Self {
        let (password, expires_at) = (tell(keyring, stored), now + CHALLENGE_LIFE);
        Self { owner, person, password, identity: None, expires_at }
    }

    /// The same of a person whom an issuer has vouched for by this identity.
    pub(crate) fn vouched_by(self, identity: FederatedIdentityId) -> Self {
        Self { identity: Some(identity), ..self }
    }

    /// The whole challenge, to be given to the client.
    pub(crate) fn reveal(&self, keyring: &Keyring) -> String {
        let claims = self.claims();
        let tag = keyring.mac_of_parts(Purpose::LoginChallenge, &[b"challenge", &claims]);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([claims.as_slice(), &tag].concat()))
    }

    fn claims(&self) -> Vec<u8> {
        let (side, tenant) = match self.owner {
            SessionOwner::Tenant(tenant) => (1, tenant.uuid()),
            SessionOwner::Operator => (0, Uuid::nil()),
        };
        let mut claims = vec![side];
        claims.extend(tenant.as_bytes());
        claims.extend(self.person.as_bytes());
        claims.extend(self.expires_at.timestamp().to_be_bytes());
        claims.extend(self.password);
        claims.extend(self.identity.map_or(Uuid::nil(), FederatedIdentityId::uuid).as_bytes());
        claims
    }

    /// Reads one that we have issued and that is not over.
    pub(super) fn read(keyring: &Keyring, text: &str, now: DateTime<Utc>) -> Option<Self> {
        let bytes = text.strip_prefix(PREFIX).filter(|rest| rest.len() <= 2 * (CLAIMS + 32))?;
        let bytes = URL_SAFE_NO_PAD.decode(bytes).ok()?;
        let (claims, tag) = bytes.split_at_checked(CLAIMS)?;
        let genuine = keyring.mac_of_parts(Purpose::LoginChallenge, &[b"challenge", claims]);
        verify_slices_are_equal(&genuine, tag).ok()?;
        let (side, rest) = claims.split_first()?;
        let (tenant, rest) = rest.split_first_chunk::<16>()?;
        let (person, rest) = rest.split_first_chunk::<16>()?;
        let (seconds, rest) = rest.split_first_chunk::<8>()?;
        let (password, rest) = rest.split_first_chunk::<16>()?;
        let (identity, _nothing) = rest.split_first_chunk::<16>()?;
        let identity = Uuid::from_bytes(*identity);
        let identity = (!identity.is_nil()).then(|| FederatedIdentityId::from_uuid(identity));
        let owner = if *side == 1 {
            SessionOwner::Tenant(TenantId::from_uuid(Uuid::from_bytes(*tenant)))
        } else {
            SessionOwner::Operator
        };
        let expires_at = DateTime::from_timestamp_secs(i64::from_be_bytes(*seconds))?;
        let (person, password) = (Uuid::from_bytes(*person), *password);
        let challenge = Self { owner, person, password, identity, expires_at };
        (now < expires_at).then_some(challenge)
    }

    /// The id of the person as text.
    pub(super) fn subject(&self) -> String {
        match self.owner {
            SessionOwner::Tenant(_) => UserId::from_uuid(self.person).to_string(),
            SessionOwner::Operator => OperatorId::from_uuid(self.person).to_string(),
        }
    }

    /// The same as an account that did not show a good code.
    pub(super) fn missed(&self) -> Missed {
        match self.owner {
            SessionOwner::Tenant(tenant) => Missed::User(tenant, UserId::from_uuid(self.person)),
            SessionOwner::Operator => Missed::Operator(OperatorId::from_uuid(self.person)),
        }
    }

    pub(super) fn is_of(&self, keyring: &Keyring, stored: &str) -> bool {
        verify_slices_are_equal(&tell(keyring, stored), &self.password).is_ok()
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({})", self.subject())
    }
}

/// The text of a challenge. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ChallengeText(String);

impl ChallengeText {
    /// The text, as it is given to the client.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, to be given to the client.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ChallengeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeText(..)")
    }
}

/// What tells one stored hash from every other.
fn tell(keyring: &Keyring, stored: &str) -> [u8; 16] {
    let mac = keyring.mac_of_parts(Purpose::LoginChallenge, &[b"password", stored.as_bytes()]);
    let mut out = [0; 16];
    out.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::root_key::RootKey;

    const NOW: DateTime<Utc> = DateTime::from_timestamp_secs(1_800_000_000).unwrap();

    fn keyring(byte: u8) -> Keyring {
        Keyring::new(&RootKey::from([byte; 32])).unwrap()
    }

    fn challenge(tenant: Option<[u8; 16]>, person: [u8; 16], identity: Option<[u8; 15]>) -> Challenge {
        let owner = tenant.map_or(SessionOwner::Operator, |bytes| {
            SessionOwner::Tenant(TenantId::from_uuid(Uuid::from_bytes(bytes)))
        });
        let challenge = Challenge::new(&keyring(1), (owner, Uuid::from_bytes(person)), "$argon2id$one", NOW);
        // None of them is the one of zeros.
        let id = |bytes: [u8; 15]| Uuid::from_slice(&[bytes.as_slice(), &[1]].concat()).unwrap();
        match identity {
            Some(bytes) => challenge.vouched_by(FederatedIdentityId::from_uuid(id(bytes))),
            None => challenge,
        }
    }

    proptest! {
        #[test]
        fn a_challenge_is_read_as_it_was_issued(
            tenant: Option<[u8; 16]>, person: [u8; 16], identity: Option<[u8; 15]>,
            at: prop::sample::Index, to in "[0-9a-zA-Z_-]",
        ) {
            let issued = challenge(tenant, person, identity);
            let text = issued.reveal(&keyring(1));
            prop_assert_eq!(Challenge::read(&keyring(1), &text, NOW), Some(issued));
            prop_assert_eq!(Challenge::read(&keyring(2), &text, NOW), None);
            let mut changed = text.clone();
            let at = at.index(changed.len());
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(Challenge::read(&keyring(1), &changed, NOW).is_some(), changed == text);
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "\\PC*", tail in "bh_lc_[0-9A-Za-z_-]{0,300}") {
            for text in [text, tail] {
                prop_assert_eq!(Challenge::read(&keyring(1), &text, NOW), None);
            }
        }
    }

    #[test]
    fn a_challenge_is_over_after_five_minutes_and_with_its_password() {
        let issued = challenge(Some([1; 16]), [2; 16], None);
        let text = issued.reveal(&keyring(1));
        let end = NOW + CHALLENGE_LIFE;
        assert!(Challenge::read(&keyring(1), &text, end - TimeDelta::milliseconds(1)).is_some());
        assert!(Challenge::read(&keyring(1), &text, end).is_none());
        assert!(issued.is_of(&keyring(1), "$argon2id$one") && !issued.is_of(&keyring(1), "$argon2id$other"));
        assert!(!format!("{issued:?}").contains(&text));
    }
}
