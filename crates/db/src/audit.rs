//! The chain of an audit log: what its hashes are made of.
//!
//! Owns the form of a link, byte for byte, which verifiers outside of this program read as well (`crates/db/AUDIT.md`). A form that
//! is in use never changes; another one has another [`FORM`]. Refuses SQL: the rows are `fleet::audit_chain`'s to read and write.
//!
//! Each entry is hashed together with the hash of the entry before it. An address and a change may name a person, so they are
//! hashed as commitments: the digest of a random salt and the value. When the person is erased, the value and the salt go and
//! the commitment stays: the chain still holds, and nothing can be guessed from it.

pub mod anchor;
pub mod slice;

use std::fmt;

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use bulkhead_domain::{AuditEntryId, SchemaName, TenantId};
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

/// The form of a link; the first part of what is hashed.
pub const FORM: &str = "bulkhead-audit-1";

/// How long a salt is, in bytes.
pub const SALT: usize = 16;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What the first entry of a chain has in place of the hash before it.
pub const BEGINNING: Hash = [0; 32];

/// Whose log is chained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// The operators'.
    Platform,
    /// A tenant's.
    Tenant(TenantId),
}

impl Chain {
    /// What names the chain in the database.
    pub fn uuid(self) -> Uuid {
        match self {
            Self::Platform => Uuid::nil(),
            Self::Tenant(id) => id.uuid(),
        }
    }

    /// The chain of this name.
    pub fn from_uuid(uuid: Uuid) -> Self {
        if uuid.is_nil() { Self::Platform } else { Self::Tenant(TenantId::from_uuid(uuid)) }
    }

    /// The table that is chained. Statements have it in their text, because names cannot be bound: it is made of an id, and nothing that
    /// a client sends is in it.
    pub(crate) fn log(self) -> String {
        match self {
            Self::Platform => "platform.audit_log".to_owned(),
            Self::Tenant(id) => format!("{}.audit_log", SchemaName::of(id)),
        }
    }
}

/// What a link, an export and an anchor call the chain.
impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Tenant(id) => fmt::Display::fmt(id, f),
        }
    }
}

impl std::str::FromStr for Chain {
    type Err = <TenantId as std::str::FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "platform" { Ok(Self::Platform) } else { text.parse().map(Self::Tenant) }
    }
}

/// A field that may name a person: the value with its salt, or what is left of both when they were erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Personal {
    /// The value, as text; `None` when there was none, or when it was erased.
    pub value: Option<String>,
    /// The salt of the commitment; `None` when there is no value.
    pub salt: Option<Vec<u8>>,
    /// The commitment to a value that was erased.
    pub commitment: Option<Vec<u8>>,
}

/// A field and what the chain keeps of it do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The value is gone, and its salt is still there.
    #[error("a value was removed that was not erased")]
    Removed,
    /// There is a value where there was none, or where it was erased.
    #[error("there is a value where there was none")]
    Appeared,
}

impl Personal {
    /// A value that is about to be chained.
    pub fn fresh(value: Option<String>, salt: &[u8]) -> Self {
        let salt = value.as_ref().map(|_| salt.to_vec());
        Self { value, salt, commitment: None }
    }

    /// The changes of an entry as the log has them. The column is never null: `{}` is what is left of those that were erased.
    pub(crate) fn kept(text: String, salt: Option<Vec<u8>>, commitment: Option<Vec<u8>>) -> Self {
        let value = Some(text).filter(|text| commitment.is_none() || text != "{}");
        Self { value, salt, commitment }
    }

    /// Whether it was erased.
    pub const fn is_erased(&self) -> bool {
        self.commitment.is_some()
    }

    /// What is hashed of it: the commitment, in hexadecimal digits, or nothing where there was no value.
    pub fn committed(&self) -> Result<Option<String>, Mismatch> {
        match (&self.value, &self.salt, &self.commitment) {
            (Some(value), Some(salt), None) => Ok(Some(hex(commitment(salt, value).as_ref()))),
            (None, None, Some(commitment)) => Ok(Some(hex(commitment))),
            (None, None, None) => Ok(None),
            (None, Some(_), _) => Err(Mismatch::Removed),
            (Some(_), None, _) | (Some(_), Some(_), Some(_)) => Err(Mismatch::Appeared),
        }
    }
}

/// The digest of a salt and a value.
fn commitment(salt: &[u8], value: &str) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(value.as_bytes());
    context.finish()
}

/// An entry as it is chained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainedEntry {
    /// Its id.
    pub id: AuditEntryId,
    /// When it happened, to the microsecond.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: String,
    /// Who acted through the actor.
    pub act: Option<String>,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// The id of the request.
    pub request_id: String,
    /// From where.
    pub address: Personal,
    /// What changed: JSON, as PostgreSQL writes it.
    pub changes: Personal,
}

impl ChainedEntry {
    /// The hash of the entry at this place of a chain, behind the entry with the hash `previous`.
    pub fn hash(&self, chain: Chain, sequence: i64, previous: &Hash) -> Result<Hash, Mismatch> {
        let (address, changes) = (self.address.committed()?, self.changes.committed()?);
        let (chain, sequence) = (chain.to_string(), sequence.to_string());
        let (previous, id) = (hex(previous), self.id.to_string());
        let at = moment(self.at);
        let parts = [
            Some(FORM),
            Some(&chain),
            Some(&sequence),
            Some(&previous),
            Some(&id),
            Some(&at),
            Some(&self.actor),
            self.act.as_deref(),
            Some(&self.action),
            Some(&self.target),
            Some(&self.request_id),
            address.as_deref(),
            changes.as_deref(),
        ];
        Ok(hash_of(parts))
    }
}

/// Each part with its length before it, so that no two lists of parts are one text.
fn hash_of<'a>(parts: impl IntoIterator<Item = Option<&'a str>>) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        match part {
            Some(text) => {
                context.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
                context.update(text.as_bytes());
            }
            None => context.update(&u64::MAX.to_be_bytes()),
        }
    }
    to_hash(&context.finish())
}

/// What an entry is found by: the first eight bytes of the digest of a text. Two texts that share one are told apart by the entry.
pub(crate) fn search_key(text: &str) -> i64 {
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().iter().take(8).fold(0, |key, byte| key << 8 | i64::from(*byte))
}

/// A moment as it is hashed and exported: RFC 3339 in UTC, to the microsecond.
pub fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Bytes in hexadecimal digits, in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
        text
    })
}

/// The bytes that [`hex`] has written; `None` for another text.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| if let [high, low] = pair { Some(digit(*high)? << 4 | digit(*low)?) } else { None })
        .collect()
}

/// The SHA-256 of a file that is written piece by piece.
pub struct FileDigest(Context);

impl Default for FileDigest {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl FileDigest {
    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest, in hexadecimal digits.
    pub fn finish(self) -> String {
        hex(self.0.finish().as_ref())
    }
}

impl fmt::Debug for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileDigest")
    }
}

fn to_hash(digest: &Digest) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> ChainedEntry {
        ChainedEntry {
            id: AuditEntryId::from_uuid(Uuid::from_bytes([7; 16])),
            at: DateTime::from_timestamp_micros(1_795_910_400_123_456).unwrap(),
            actor: "usr_1".to_owned(),
            act: None,
            action: "create_user".to_owned(),
            target: "usr_2".to_owned(),
            request_id: "req_1".to_owned(),
            address: Personal::fresh(Some("192.0.2.1".to_owned()), &[1; SALT]),
            changes: Personal::fresh(Some("{\"email\": \"a@example.com\"}".to_owned()), &[2; SALT]),
        }
    }

    /// What verifiers of others compute, too (`crates/db/AUDIT.md`): it never changes.
    #[test]
    fn the_form_is_what_it_was() {
        let chain = Chain::Tenant(TenantId::from_uuid(Uuid::from_bytes([9; 16])));
        let hash = entry().hash(chain, 1, &BEGINNING).unwrap();
        assert_eq!(hex(&hash), KNOWN);
    }
    const KNOWN: &str = "6c01cc8fa1e208ecf05562fc6500d1a5fbd8463ecf98c1c0c0ae33bd26e37967";

    #[test]
    fn every_part_is_in_the_hash() {
        let hash = |entry: &ChainedEntry| entry.hash(Chain::Platform, 5, &[3; 32]).unwrap();
        let whole = entry();
        let changed: [fn(&mut ChainedEntry); 10] = [
            |entry| entry.id = AuditEntryId::from_uuid(Uuid::from_bytes([8; 16])),
            |entry| entry.at += chrono::TimeDelta::microseconds(1),
            |entry| entry.actor.push('x'),
            |entry| entry.act = Some(String::new()),
            |entry| entry.action.push('x'),
            |entry| entry.target.push('x'),
            |entry| entry.request_id.push('x'),
            |entry| entry.address.value = Some("192.0.2.2".to_owned()),
            |entry| entry.changes.value = Some("{}".to_owned()),
            |entry| entry.changes.salt = Some(vec![4; SALT]),
        ];
        for (number, change) in changed.iter().enumerate() {
            let mut entry = whole.clone();
            change(&mut entry);
            assert_ne!(hash(&entry), hash(&whole), "{number}");
        }
        assert_ne!(whole.hash(Chain::Platform, 6, &[3; 32]).unwrap(), hash(&whole));
        assert_ne!(whole.hash(Chain::Platform, 5, &[4; 32]).unwrap(), hash(&whole));
        let chain = Chain::Tenant(TenantId::from_uuid(Uuid::from_bytes([9; 16])));
        assert_ne!(whole.hash(chain, 5, &[3; 32]).unwrap(), hash(&whole));
    }

    #[test]
    fn what_is_erased_leaves_the_hash_as_it_was() {
        let whole = entry();
        let erase = |field: &Personal| Personal {
            value: None,
            salt: None,
            commitment: Some(unhex(&field.committed().unwrap().unwrap()).unwrap()),
        };
        let erased =
            ChainedEntry { address: erase(&whole.address), changes: erase(&whole.changes), ..whole.clone() };
        let hash = |entry: &ChainedEntry| entry.hash(Chain::Platform, 1, &BEGINNING);
        assert_eq!(hash(&erased), hash(&whole));
        let mut back = erased.clone();
        back.address.value = Some("192.0.2.1".to_owned());
        assert_eq!(hash(&back), Err(Mismatch::Appeared));
        let mut removed = whole;
        removed.changes.value = None;
        assert_eq!(hash(&removed), Err(Mismatch::Removed));
    }

    proptest! {
        #[test]
        fn no_two_lists_of_parts_have_one_hash(one: Vec<Option<String>>, other: Vec<Option<String>>) {
            let hash = |parts: &[Option<String>]| hash_of(parts.iter().map(Option::as_deref));
            prop_assert_eq!(one == other, hash(&one) == hash(&other));
        }

        #[test]
        fn digits_are_read_as_they_were_written(bytes: Vec<u8>) {
            prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        }
    }
}
