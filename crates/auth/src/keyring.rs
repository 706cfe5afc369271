//! The node's symmetric keys, all derived from the root key.
//!
//! Owns sealing (AES-256-GCM) and keyed hashing (HMAC-SHA-256). Each purpose has a key of its own (HKDF-SHA-256, RFC
//! 5869), so what is made for one purpose is worthless for another. Refuses to give any key away.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, Prk, Salt},
    hmac,
};
use bulkhead_domain::Mac;

use crate::root_key::RootKey;

/// Separates these keys from any other use of the same bytes; changing it makes every stored secret unreadable.
const SALT: &[u8] = b"bulkhead keyring v1";
const NONCE_LENGTH: usize = 12;

/// Why a keyring operation failed. Says nothing about the key or the plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The configured text is not a master key.
    #[error("the master key must be 32 bytes in base64, as `openssl rand -base64 32` prints it")]
    MasterKey,
    /// aws-lc refused to derive or use a key.
    #[error("the cryptographic library refused an operation")]
    Refused,
    /// The sealed bytes were not sealed by this keyring for this context, or were changed.
    #[error("cannot be opened: sealed with another key, for another context, or damaged")]
    Unopenable,
}

impl From<Unspecified> for KeyringError {
    fn from(_: Unspecified) -> Self {
        Self::Refused
    }
}

/// What a keyed hash is for. Hashes of the same bytes for two purposes have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What is stored of an API key.
    ApiKey,
    /// What is stored of a refresh token.
    RefreshToken,
    /// The secret of the refresh token that replaces another.
    RefreshSuccessor,
    /// The tag that shows that we have issued a refresh token, and for which session.
    RefreshTag,
    /// What is stored of a request beside its idempotency key.
    Fingerprint,
    /// Which lock a transaction takes for its idempotency key.
    IdempotencyLock,
    /// What is stored of a one-time token.
    OneTimeToken,
    /// The tag that shows that we have issued a one-time token, and which one.
    OneTimeTag,
    /// The tag that shows that we have issued an invitation, and which one.
    InvitationTag,
    /// The tag that shows that we have issued what confirms a registration, and which one.
    RegistrationTag,
    /// The tag that shows that we have issued what confirms a sign-up, and which one.
    SignUpTag,
    /// The secret of a one-time token that is computed from its row.
    LinkSecret,
    /// What is stored of an operator's API key.
    OperatorKey,
    /// The tag that shows that we have issued an operator's API key, and which one.
    OperatorKeyTag,
    /// What is stored of a recovery code.
    RecoveryCode,
    /// The tag of what a client gets whose person has shown the password and has to show a code.
    LoginChallenge,
    /// The signature in a pagination cursor.
    Cursor,
    /// The hashes by which logins are counted and queued, and decoy tenants chosen; a label in front says which.
    LoginAttempt,
    /// The tag of a batch of usage in the Redis stream.
    UsageEntry,
    /// The tag of a job's id in the Redis queue.
    QueuedJob,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key_mac",
            Self::RefreshToken => "refresh_token_mac",
            Self::RefreshSuccessor => "refresh_token_successor",
            Self::RefreshTag => "refresh_token_tag",
            Self::Fingerprint => "fingerprint",
            Self::IdempotencyLock => "idempotency_lock",
            Self::OneTimeToken => "one_time_token_mac",
            Self::OneTimeTag => "one_time_token_tag",
            Self::InvitationTag => "invitation_tag",
            Self::RegistrationTag => "registration_tag",
            Self::SignUpTag => "sign_up_tag",
            Self::LinkSecret => "link_secret",
            Self::OperatorKey => "operator_key_mac",
            Self::OperatorKeyTag => "operator_key_tag",
            Self::RecoveryCode => "recovery_code_mac",
            Self::LoginChallenge => "login_challenge_tag",
            Self::Cursor => "cursor",
            Self::LoginAttempt => "login_attempt",
            Self::UsageEntry => "usage_entry",
            Self::QueuedJob => "queued_job",
        }
    }
}

/// One key that seals: AES-256-GCM, with a nonce of its own each time.
pub(crate) struct Sealer(RandomizedNonceKey);

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, KeyringError> {
        Ok(Self(RandomizedNonceKey::new(&AES_256_GCM, key)?))
    }

    pub(crate) fn seal(&self, plaintext: &[u8], context: &str) -> Result<Vec<u8>, KeyringError> {
        let mut body = plaintext.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(context), &mut body)?;
        Ok([nonce.as_ref().as_slice(), &body].concat())
    }

    pub(crate) fn open(&self, sealed: &[u8], context: &str) -> Result<Vec<u8>, KeyringError> {
        let unopenable = |_: Unspecified| KeyringError::Unopenable;
        let (nonce, body) = sealed.split_at_checked(NONCE_LENGTH).ok_or(KeyringError::Unopenable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(unopenable)?;
        let mut body = body.to_vec();
        let plaintext = self.0.open_in_place(nonce, Aad::from(context), &mut body).map_err(unopenable)?;
        Ok(plaintext.to_vec())
    }
}

/// The derived keys, ready for use.
pub struct Keyring {
    sealer: Sealer,
    factor_sealer: Sealer,
    api_key: hmac::Key,
    refresh_token: hmac::Key,
    refresh_successor: hmac::Key,
    refresh_tag: hmac::Key,
    fingerprint: hmac::Key,
    idempotency_lock: hmac::Key,
    one_time_token: hmac::Key,
    one_time_tag: hmac::Key,
    invitation_tag: hmac::Key,
    registration_tag: hmac::Key,
    sign_up_tag: hmac::Key,
    link_secret: hmac::Key,
    operator_key: hmac::Key,
    operator_key_tag: hmac::Key,
    recovery_code: hmac::Key,
    login_challenge: hmac::Key,
    cursor: hmac::Key,
    login_attempt: hmac::Key,
    usage_entry: hmac::Key,
    queued_job: hmac::Key,
}

impl Keyring {
    /// Derives every key.
    pub fn new(root: &RootKey) -> Result<Self, KeyringError> {
        let prk = Salt::new(HKDF_SHA256, SALT).extract(&root.0);
        let mac = |purpose: Purpose| {
            Ok::<_, KeyringError>(hmac::Key::new(hmac::HMAC_SHA256, &derive(&prk, purpose.label())?))
        };
        Ok(Self {
            sealer: Sealer::new(&derive(&prk, "signing_key_seal")?)?,
            factor_sealer: Sealer::new(&derive(&prk, "second_factor_seal")?)?,
            api_key: mac(Purpose::ApiKey)?,
            refresh_token: mac(Purpose::RefreshToken)?,
            refresh_successor: mac(Purpose::RefreshSuccessor)?,
            refresh_tag: mac(Purpose::RefreshTag)?,
            fingerprint: mac(Purpose::Fingerprint)?,
            idempotency_lock: mac(Purpose::IdempotencyLock)?,
            one_time_token: mac(Purpose::OneTimeToken)?,
            one_time_tag: mac(Purpose::OneTimeTag)?,
            invitation_tag: mac(Purpose::InvitationTag)?,
            registration_tag: mac(Purpose::RegistrationTag)?,
            sign_up_tag: mac(Purpose::SignUpTag)?,
            link_secret: mac(Purpose::LinkSecret)?,
            operator_key: mac(Purpose::OperatorKey)?,
            operator_key_tag: mac(Purpose::OperatorKeyTag)?,
            recovery_code: mac(Purpose::RecoveryCode)?,
            login_challenge: mac(Purpose::LoginChallenge)?,
            cursor: mac(Purpose::Cursor)?,
            login_attempt: mac(Purpose::LoginAttempt)?,
            usage_entry: mac(Purpose::UsageEntry)?,
            queued_job: mac(Purpose::QueuedJob)?,
        })
    }

    /// Encrypts `plaintext` so that only [`Self::open`] with the same `context` gives it back. The context says what
    /// the bytes are (a key's id, say), so that a sealed value cannot be passed off as another one.
    pub fn seal(&self, plaintext: &[u8], context: &str) -> Result<Vec<u8>, KeyringError> {
        self.sealer.seal(plaintext, context)
    }

    /// Decrypts what [`Self::seal`] made for the same context.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Vec<u8>, KeyringError> {
        self.sealer.open(sealed, context)
    }

    /// [`Self::seal`] for the secret of a second factor, under a key of its own. The context is its person.
    pub fn seal_factor(&self, secret: &[u8], person: &str) -> Result<Vec<u8>, KeyringError> {
        self.factor_sealer.seal(secret, person)
    }

    /// Decrypts what [`Self::seal_factor`] made for the same person.
    pub fn open_factor(&self, sealed: &[u8], person: &str) -> Result<Vec<u8>, KeyringError> {
        self.factor_sealer.open(sealed, person)
    }

    /// HMAC-SHA-256 of `bytes` under the key of `purpose`.
    pub fn mac(&self, purpose: Purpose, bytes: &[u8]) -> [u8; 32] {
        array(hmac::sign(self.mac_key(purpose), bytes))
    }

    /// HMAC-SHA-256 of several texts under the key of `purpose`, each behind its length: so where one ends and the next
    /// begins counts too.
    pub fn mac_of_parts(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(self.mac_key(purpose));
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        array(context.sign())
    }

    /// Whether `expected` is the whole of [`Self::mac`] of these bytes, in constant time.
    pub fn mac_matches(&self, purpose: Purpose, bytes: &[u8], expected: &[u8]) -> bool {
        hmac::verify(self.mac_key(purpose), bytes, expected).is_ok()
    }

    /// Signing and checking for one purpose alone, for crates that must not see the keyring.
    pub fn for_purpose(self: &Arc<Self>, purpose: Purpose) -> Arc<dyn Mac> {
        Arc::new(PurposeMac { keyring: Arc::clone(self), purpose })
    }

    const fn mac_key(&self, purpose: Purpose) -> &hmac::Key {
        match purpose {
            Purpose::ApiKey => &self.api_key,
            Purpose::RefreshToken => &self.refresh_token,
            Purpose::RefreshSuccessor => &self.refresh_successor,
            Purpose::RefreshTag => &self.refresh_tag,
            Purpose::Fingerprint => &self.fingerprint,
            Purpose::IdempotencyLock => &self.idempotency_lock,
            Purpose::OneTimeToken => &self.one_time_token,
            Purpose::OneTimeTag => &self.one_time_tag,
            Purpose::InvitationTag => &self.invitation_tag,
            Purpose::RegistrationTag => &self.registration_tag,
            Purpose::SignUpTag => &self.sign_up_tag,
            Purpose::LinkSecret => &self.link_secret,
            Purpose::OperatorKey => &self.operator_key,
            Purpose::OperatorKeyTag => &self.operator_key_tag,
            Purpose::RecoveryCode => &self.recovery_code,
            Purpose::LoginChallenge => &self.login_challenge,
            Purpose::Cursor => &self.cursor,
            Purpose::LoginAttempt => &self.login_attempt,
            Purpose::UsageEntry => &self.usage_entry,
            Purpose::QueuedJob => &self.queued_job,
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

fn array(tag: hmac::Tag) -> [u8; 32] {
    let mut out = [0; 32];
    out.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    out
}

/// See [`Keyring::for_purpose`].
#[derive(Debug)]
struct PurposeMac {
    keyring: Arc<Keyring>,
    purpose: Purpose,
}

impl Mac for PurposeMac {
    fn sign(&self, bytes: &[u8]) -> [u8; 32] {
        self.keyring.mac(self.purpose, bytes)
    }

    fn verify(&self, bytes: &[u8], tag: &[u8]) -> bool {
        self.keyring.mac_matches(self.purpose, bytes, tag)
    }
}

pub(crate) fn derive(prk: &Prk, label: &str) -> Result<[u8; 32], KeyringError> {
    let mut key = [0; 32];
    prk.expand(&[label.as_bytes()], HKDF_SHA256)?.fill(&mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use proptest::prelude::*;

    use super::*;

    const PURPOSES: [Purpose; 16] = [
        Purpose::ApiKey,
        Purpose::RefreshToken,
        Purpose::RefreshSuccessor,
        Purpose::RefreshTag,
        Purpose::Fingerprint,
        Purpose::IdempotencyLock,
        Purpose::OneTimeToken,
        Purpose::OneTimeTag,
        Purpose::InvitationTag,
        Purpose::RegistrationTag,
        Purpose::SignUpTag,
        Purpose::LinkSecret,
        Purpose::Cursor,
        Purpose::LoginAttempt,
        Purpose::UsageEntry,
        Purpose::QueuedJob,
    ];

    fn keyring(byte: u8) -> Keyring {
        Keyring::new(&RootKey::from([byte; 32])).unwrap()
    }

    /// Computed with an independent implementation (Python's `hmac`, HKDF written from RFC 5869). A change here means
    /// that no stored API key or session would be recognised any more.
    #[test]
    fn derived_keys_do_not_change_between_versions() {
        let mac = keyring(1).mac(Purpose::ApiKey, b"abc");
        assert_eq!(STANDARD.encode(mac), "gxD0xtrvUXk7LLPSNg8pXHiue/nSRNV2AffsJ0tAWbY=");
    }

    #[test]
    fn purposes_and_root_keys_have_nothing_in_common() {
        let macs: Vec<_> =
            [1, 2].into_iter().flat_map(|key| PURPOSES.map(|p| keyring(key).mac(p, b"same bytes"))).collect();
        for (at, mac) in macs.iter().enumerate() {
            assert!(!macs[at + 1..].contains(mac));
        }
    }

    #[test]
    fn where_a_part_ends_counts() {
        let mac = |parts: &[&[u8]]| keyring(1).mac_of_parts(Purpose::Fingerprint, parts);
        assert_eq!(mac(&[b"ab", b"c"]), mac(&[b"ab", b"c"]));
        for other in [&[b"a".as_slice(), b"bc"][..], &[b"abc"], &[b"ab", b"c", b""]] {
            assert_ne!(mac(&[b"ab", b"c"]), mac(other));
        }
    }

    #[test]
    fn only_the_whole_mac_matches() {
        let keyring = keyring(1);
        let mac = keyring.mac(Purpose::ApiKey, b"secret");
        assert!(keyring.mac_matches(Purpose::ApiKey, b"secret", &mac));
        let longer = [mac.as_slice(), &[0]].concat();
        for wrong in [&[][..], &mac[..1], &mac[..31], &longer] {
            assert!(!keyring.mac_matches(Purpose::ApiKey, b"secret", wrong), "{} bytes matched", wrong.len());
        }
        assert!(!keyring.mac_matches(Purpose::RefreshToken, b"secret", &mac));
    }

    #[test]
    fn what_is_signed_for_one_purpose_is_recognised_for_that_one_alone() {
        let keyring = Arc::new(keyring(1));
        let mac = keyring.for_purpose(Purpose::UsageEntry);
        let tag = mac.sign(b"bytes");
        assert!(
            mac.verify(b"bytes", &tag) && !mac.verify(b"other", &tag) && !mac.verify(b"bytes", &tag[1..])
        );
        for other in PURPOSES.into_iter().filter(|purpose| *purpose != Purpose::UsageEntry) {
            assert!(!keyring.for_purpose(other).verify(b"bytes", &tag), "{other:?}");
        }
        assert_eq!(tag, keyring.mac(Purpose::UsageEntry, b"bytes"));
    }

    #[test]
    fn the_same_plaintext_is_sealed_differently_each_time() {
        let keyring = keyring(1);
        assert_ne!(keyring.seal(b"key", "a").unwrap(), keyring.seal(b"key", "a").unwrap());
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(format!("{:?}", keyring(65)), "Keyring(..)");
    }

    proptest! {
        #[test]
        fn sealed_bytes_open_only_unchanged_and_in_their_own_context(
            plaintext: Vec<u8>,
            context in ".{0,20}",
            other in ".{0,20}",
            at: prop::sample::Index,
            flip in 1..=255_u8,
        ) {
            let (own, foreign) = (keyring(1), keyring(2));
            let mut sealed = own.seal(&plaintext, &context).unwrap();
            prop_assert_eq!(own.open(&sealed, &context), Ok(plaintext));
            prop_assert!(foreign.open(&sealed, &context).is_err());
            if other != context {
                prop_assert_eq!(own.open(&sealed, &other), Err(KeyringError::Unopenable));
            }
            let cut = at.index(sealed.len());
            prop_assert!(own.open(&sealed[..cut], &context).is_err());
            sealed[cut] ^= flip;
            prop_assert!(own.open(&sealed, &context).is_err());
        }
    }
}
