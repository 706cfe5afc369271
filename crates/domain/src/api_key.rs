//! The text format of API keys.
//!
//! `bh_<env>_<locator>_<secret><checksum>`, all base62: the locator is the tenant's and the key's UUIDs (43
//! characters), the secret 33 characters (196 bits), the checksum 6 characters (the CRC-32 of everything before it).
//! The fixed shape lets secret scanners find leaked keys, the locator lets a server go straight to one row, and the
//! checksum refuses typing errors and invented keys without touching a database.

use std::fmt;

use uuid::Uuid;

use crate::id::{ApiKeyId, TenantId};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LOCATOR_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;

/// A regular expression that finds keys in texts. It is published, for programs that look for secrets in places where none belong;
/// the last six characters let them tell a key from what only looks like one.
pub const PATTERN: &str = r"bh_[a-z]{1,8}_[0-9A-Za-z]{43}_[0-9A-Za-z]{39}";

/// How many random characters a secret has: 62^33 is more than 2^196.
pub const SECRET_LENGTH: usize = 33;

/// An API key as a caller holds it. Its `Debug` shows which key it is and never the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Whose key it claims to be.
    pub tenant: TenantId,
    /// Which key it claims to be.
    pub id: ApiKeyId,
    text: String,
}

/// The text is not a well-formed API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed API key")]
pub struct MalformedApiKey;

impl ApiKey {
    /// Writes a new key. `env` is a short word that tells where it is good (`live`, `test`, `dev`), `entropy` yields
    /// random bytes; those that would favour some digits are skipped.
    pub fn issue(env: &str, tenant: TenantId, id: ApiKeyId, mut entropy: impl FnMut() -> u8) -> Self {
        let mut text = format!("bh_{env}_");
        push_locator(&mut text, tenant, id);
        text.push('_');
        let mut secret = 0;
        while secret < SECRET_LENGTH {
            // 248 is the largest multiple of 62 in a byte: every digit gets four of its values.
            let byte = entropy();
            if byte < 248 {
                text.push(digit(u32::from(byte) % 62));
                secret += 1;
            }
        }
        let checksum = crc32fast::hash(text.as_bytes());
        push_base62(&mut text, checksum);
        Self { tenant, id, text }
    }

    /// Whether a credential is meant as an API key at all, as opposed to a token.
    pub fn looks_like(text: &str) -> bool {
        text.starts_with("bh_")
    }

    /// Reads a key and checks its checksum. Says nothing about whether such a key exists.
    pub fn parse(text: &str) -> Result<Self, MalformedApiKey> {
        let mut parts = text.split('_');
        let (Some("bh"), Some(env), Some(locator), Some(tail), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MalformedApiKey);
        };
        let env_is_sane = (1..=8).contains(&env.len()) && env.bytes().all(|b| b.is_ascii_lowercase());
        let digits_only = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric());
        let lengths_fit = locator.len() == LOCATOR_LENGTH && tail.len() == SECRET_LENGTH + CHECKSUM_LENGTH;
        if !(env_is_sane && lengths_fit && digits_only(locator) && digits_only(tail)) {
            return Err(MalformedApiKey);
        }
        let (body, checksum) = text.split_at(text.len() - CHECKSUM_LENGTH);
        let mut expected = String::with_capacity(CHECKSUM_LENGTH);
        push_base62(&mut expected, crc32fast::hash(body.as_bytes()));
        if checksum != expected {
            return Err(MalformedApiKey);
        }
        let (tenant, id) = read_locator(locator).ok_or(MalformedApiKey)?;
        Ok(Self { tenant, id, text: text.to_owned() })
    }

    /// The whole key, to be shown once or hashed.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The beginning of the key that may be shown for ever: enough to tell keys apart, nothing of the secret.
    pub fn hint(&self) -> &str {
        let shown = self.text.len().saturating_sub(SECRET_LENGTH + CHECKSUM_LENGTH + 1);
        self.text.get(..shown).unwrap_or_default()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({} of {})", self.id, self.tenant)
    }
}

fn digit(value: u32) -> char {
    DIGITS.get(value as usize).map_or('0', |byte| char::from(*byte))
}

fn push_base62(out: &mut String, mut value: u32) {
    let mut digits = [0; CHECKSUM_LENGTH];
    for slot in digits.iter_mut().rev() {
        *slot = value % 62;
        value /= 62;
    }
    out.extend(digits.map(digit));
}

/// Writes the 256 bits of both ids as one base62 number, most significant digit first.
fn push_locator(out: &mut String, tenant: TenantId, id: ApiKeyId) {
    let mut limbs = limbs(tenant.uuid(), id.uuid());
    let mut digits = [0_u32; LOCATOR_LENGTH];
    for slot in digits.iter_mut().rev() {
        let mut remainder = 0_u64;
        for limb in &mut limbs {
            let value = (remainder << 32) | u64::from(*limb);
            *limb = u32::try_from(value / 62).unwrap_or_default();
            remainder = value % 62;
        }
        *slot = u32::try_from(remainder).unwrap_or_default();
    }
    out.extend(digits.map(digit));
}

fn read_locator(text: &str) -> Option<(TenantId, ApiKeyId)> {
    let mut limbs = [0_u32; 8];
    for byte in text.bytes() {
        let mut carry = DIGITS.iter().position(|d| *d == byte)? as u64;
        for limb in limbs.iter_mut().rev() {
            let value = u64::from(*limb) * 62 + carry;
            *limb = u32::try_from(value & 0xffff_ffff).ok()?;
            carry = value >> 32;
        }
        // 62^43 exceeds 2^256: a number that does not fit is no locator.
        if carry > 0 {
            return None;
        }
    }
    let mut words = limbs.chunks_exact(4).map(|four| {
        let number = four.iter().fold(0_u128, |number, limb| (number << 32) | u128::from(*limb));
        Uuid::from_u128(number)
    });
    Some((TenantId::from_uuid(words.next()?), ApiKeyId::from_uuid(words.next()?)))
}

fn limbs(first: Uuid, second: Uuid) -> [u32; 8] {
    let mut limbs = [0; 8];
    let words = [first.as_u128(), second.as_u128()];
    let pieces = words.iter().flat_map(|word| [96, 64, 32, 0].map(|shift| (word >> shift) & 0xffff_ffff));
    for (limb, piece) in limbs.iter_mut().zip(pieces) {
        *limb = u32::try_from(piece).unwrap_or_default();
    }
    limbs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(tenant: [u8; 16], id: [u8; 16], seed: u8) -> ApiKey {
        let mut byte = seed;
        ApiKey::issue(
            "test",
            TenantId::from_uuid(Uuid::from_bytes(tenant)),
            ApiKeyId::from_uuid(Uuid::from_bytes(id)),
            || {
                byte = byte.wrapping_mul(37).wrapping_add(11);
                byte
            },
        )
    }

    proptest! {
        #[test]
        fn a_key_is_read_back_as_it_was_issued(tenant: [u8; 16], id: [u8; 16], seed: u8) {
            let key = key(tenant, id, seed);
            prop_assert_eq!(ApiKey::parse(key.reveal()), Ok(key));
        }

        #[test]
        fn one_changed_character_is_noticed(tenant: [u8; 16], id: [u8; 16], at in 0_usize..91, to in "[0-9a-zA-Z_]") {
            let good = key(tenant, id, 7);
            let mut bad = good.reveal().to_owned();
            bad.replace_range(at..=at, &to);
            prop_assert_eq!(ApiKey::parse(&bad).is_ok(), bad == good.reveal());
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "\\PC*", tail in "bh_[a-z]{0,9}_[0-9A-Za-z]{40,45}_[0-9A-Za-z]{37,41}") {
            let _: Result<_, _> = ApiKey::parse(&text);
            let _: Result<_, _> = ApiKey::parse(&tail);
        }
    }

    proptest! {
        /// What a secret scanner does with the published pattern and with the checksum, without this module.
        #[test]
        fn the_published_pattern_finds_a_key_in_any_text(
            tenant: [u8; 16], id: [u8; 16], seed: u8, before in "[ -~]{0,20}[ =:\"']", after in "([ ,;\"'\n][ -~]{0,20})?",
        ) {
            let key = key(tenant, id, seed);
            let text = format!("{before}{}{after}", key.reveal());
            let pattern = regex_lite::Regex::new(PATTERN).unwrap();
            let found: Vec<_> = pattern.find_iter(&text).map(|found| found.as_str()).collect();
            prop_assert!(found.contains(&key.reveal()), "{:?} in {}", found, text);
            let (checked, sum) = key.reveal().split_at(key.reveal().len() - 6);
            let digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
            let read = sum.chars().fold(0, |sum, digit| sum * 62 + digits.find(digit).unwrap());
            prop_assert_eq!(read, usize::try_from(crc32fast::hash(checked.as_bytes())).unwrap());
        }
    }

    /// What is published is what this module says.
    #[test]
    fn the_document_has_the_pattern() {
        let document = include_str!("../../api/src/http/openapi.md");
        assert!(document.contains(&format!("`{PATTERN}`")));
    }

    #[test]
    fn neither_debug_nor_hint_shows_the_secret() {
        let key = key([1; 16], [2; 16], 3);
        let secret = &key.reveal()[key.hint().len() + 1..];
        assert_eq!(secret.len(), SECRET_LENGTH + CHECKSUM_LENGTH);
        assert!(!format!("{key:?}").contains(secret) && !key.hint().contains(secret));
    }
}
