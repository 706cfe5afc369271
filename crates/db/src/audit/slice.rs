//! A slice of an audit log as a file that can be verified without a database.
//!
//! Owns the form of the file, which `crates/db/AUDIT.md` shows: JSON, a line for each thing. The first line says which slice it is and
//! what the hash before it was, the last one signs all bytes before it, and between them stands an entry a line, in the order of the
//! chain. Refuses to know keys: whether the signature is good is for the caller to say.

use std::io::BufRead;

use bulkhead_domain::AuditEntryId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Chain, ChainedEntry, FileDigest, Hash, Personal, hex, moment, unhex};

/// The form of the file.
pub const EXPORT: &str = "bulkhead-audit-export-1";

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heading {
    /// [`EXPORT`].
    pub form: String,
    /// Whose log: `platform` or a tenant's id.
    pub chain: String,
    /// The number of the first entry in the chain; `None` when the slice is empty.
    pub first: Option<i64>,
    /// The number of the last one.
    pub last: Option<i64>,
    /// The hash of the entry before the first one.
    pub previous: String,
    /// When it was exported.
    pub exported_at: String,
}

/// An entry's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its number in the chain.
    pub sequence: i64,
    /// Its id.
    pub id: AuditEntryId,
    /// When it happened.
    pub at: String,
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
    pub address: Option<String>,
    /// Belongs to the address.
    pub address_salt: Option<String>,
    /// What is left of an address that was erased.
    pub address_commitment: Option<String>,
    /// What changed: the text that was hashed, which is JSON.
    pub changes: Option<String>,
    /// Belongs to the changes.
    pub changes_salt: Option<String>,
    /// What is left of changes that were erased.
    pub changes_commitment: Option<String>,
    /// The entry's hash in the chain.
    pub hash: String,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The name of the key.
    pub kid: String,
    /// `RS256`.
    pub alg: String,
    /// In base64url.
    pub signature: String,
}

impl Line {
    /// The line of an entry.
    pub fn of(sequence: i64, entry: ChainedEntry, hash: &[u8]) -> Self {
        let digits = |bytes: Option<Vec<u8>>| bytes.map(|bytes| hex(&bytes));
        Self {
            sequence,
            id: entry.id,
            at: moment(entry.at),
            actor: entry.actor,
            act: entry.act,
            action: entry.action,
            target: entry.target,
            request_id: entry.request_id,
            address: entry.address.value,
            address_salt: digits(entry.address.salt),
            address_commitment: digits(entry.address.commitment),
            changes: entry.changes.value,
            changes_salt: digits(entry.changes.salt),
            changes_commitment: digits(entry.changes.commitment),
            hash: hex(hash),
        }
    }

    fn entry(self) -> Option<ChainedEntry> {
        let bytes = |digits: Option<String>| digits.map_or(Some(None), |digits| unhex(&digits).map(Some));
        let at: DateTime<Utc> = self.at.parse().ok()?;
        (moment(at) == self.at).then_some(())?;
        Some(ChainedEntry {
            id: self.id,
            at,
            actor: self.actor,
            act: self.act,
            action: self.action,
            target: self.target,
            request_id: self.request_id,
            address: Personal {
                value: self.address,
                salt: bytes(self.address_salt)?,
                commitment: bytes(self.address_commitment)?,
            },
            changes: Personal {
                value: self.changes,
                salt: bytes(self.changes_salt)?,
                commitment: bytes(self.changes_commitment)?,
            },
        })
    }
}

/// Why a file is not what was exported.
#[derive(Debug, thiserror::Error)]
pub enum SliceError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// A line has another form.
    #[error("line {0} is not what an export has there")]
    Form(usize),
    /// An entry is not there, or stands elsewhere.
    #[error("line {line}: entry {expected} should stand there")]
    Gap {
        /// The line, from 1.
        line: usize,
        /// The number of the entry that belongs there.
        expected: i64,
    },
    /// An entry is not what was chained.
    #[error("line {line}: entry {sequence} is not what was chained")]
    Changed {
        /// The line, from 1.
        line: usize,
        /// The number of the entry.
        sequence: i64,
    },
    /// The signature is not over these bytes, or is of another key.
    #[error("the signature is not good: another key, or other bytes")]
    Signature,
    /// The file ends too early.
    #[error("the file ends before its signature")]
    Cut,
}

/// A file that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its first line.
    pub heading: Heading,
    /// The hash of its last entry.
    pub head: Hash,
    /// How many entries.
    pub entries: i64,
}

/// Verifies a file: each entry, their order, and the signature. `is_signed` is asked with the digest of the bytes, in hexadecimal
/// digits, and the last line.
pub fn verify(
    mut file: impl BufRead,
    is_signed: impl FnOnce(&str, &Seal) -> bool,
) -> Result<Verified, SliceError> {
    let mut digest = FileDigest::default();
    let mut line = String::new();
    let mut next = |line: &mut String| {
        line.clear();
        file.read_line(line)
    };
    next(&mut line)?;
    let heading: Heading = serde_json::from_str(&line).map_err(|_json| SliceError::Form(1))?;
    let chain: Chain = heading.chain.parse().map_err(|_id| SliceError::Form(1))?;
    let previous = unhex(&heading.previous).and_then(|bytes| Hash::try_from(bytes).ok());
    let mut hash = previous.filter(|_| heading.form == EXPORT).ok_or(SliceError::Form(1))?;
    digest.update(line.as_bytes());
    let (first, last) = heading.first.zip(heading.last).unwrap_or((1, 0));
    let mut number = 1;
    for expected in first..=last {
        number += 1;
        if next(&mut line)? == 0 {
            return Err(SliceError::Cut);
        }
        let read: Line = serde_json::from_str(&line).map_err(|_json| SliceError::Form(number))?;
        if read.sequence != expected {
            return Err(SliceError::Gap { line: number, expected });
        }
        let kept = read.hash.clone();
        let computed = read.entry().and_then(|entry| entry.hash(chain, expected, &hash).ok());
        hash = computed
            .filter(|hash| hex(hash) == kept)
            .ok_or(SliceError::Changed { line: number, sequence: expected })?;
        digest.update(line.as_bytes());
    }
    if next(&mut line)? == 0 {
        return Err(SliceError::Cut);
    }
    let seal: Seal = serde_json::from_str(&line).map_err(|_json| SliceError::Form(number + 1))?;
    if next(&mut line)? != 0 {
        return Err(SliceError::Form(number + 2));
    }
    if !is_signed(&digest.finish(), &seal) {
        return Err(SliceError::Signature);
    }
    Ok(Verified { heading, head: hash, entries: last - first + 1 })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::audit::{BEGINNING, SALT};

    /// A file with two entries, as lines without their ends.
    fn lines() -> Vec<String> {
        let (chain, mut hash) = (Chain::Platform, BEGINNING);
        let heading = Heading {
            form: EXPORT.to_owned(),
            chain: chain.to_string(),
            first: Some(1),
            last: Some(2),
            previous: hex(&hash),
            exported_at: "2026-12-01T00:00:00.000000Z".to_owned(),
        };
        let mut lines = vec![serde_json::to_string(&heading).unwrap()];
        for sequence in 1..=2 {
            let entry = ChainedEntry {
                id: AuditEntryId::from_uuid(Uuid::from_u128(sequence)),
                at: DateTime::from_timestamp_micros(1_795_910_400_123_456).unwrap(),
                actor: "usr_1".to_owned(),
                act: None,
                action: "create_user".to_owned(),
                target: "usr_2".to_owned(),
                request_id: "req_1".to_owned(),
                address: Personal::fresh(Some("192.0.2.1".to_owned()), &[1; SALT]),
                changes: Personal::fresh(Some("{}".to_owned()), &[2; SALT]),
            };
            let sequence = i64::try_from(sequence).unwrap();
            hash = entry.hash(chain, sequence, &hash).unwrap();
            lines.push(serde_json::to_string(&Line::of(sequence, entry, &hash)).unwrap());
        }
        let seal = Seal { kid: "a".to_owned(), alg: "RS256".to_owned(), signature: "b".to_owned() };
        lines.push(serde_json::to_string(&seal).unwrap());
        lines
    }

    fn told(lines: &[String], is_signed: bool) -> Result<Verified, SliceError> {
        verify((lines.join("\n") + "\n").as_bytes(), |_, _| is_signed)
    }

    /// Whoever has the key, and signs something else, is found out all the same.
    #[test]
    fn what_is_signed_is_verified_too() {
        let good = lines();
        assert_eq!(told(&good, true).unwrap().entries, 2);
        assert!(matches!(told(&good, false), Err(SliceError::Signature)));
        let with = |line: usize, from: &str, to: &str| {
            let mut lines = good.clone();
            assert!(lines[line].contains(from), "{}", lines[line]);
            lines[line] = lines[line].replace(from, to);
            told(&lines, true)
        };
        assert!(matches!(with(0, EXPORT, "bulkhead-audit-anchor-1"), Err(SliceError::Form(1))));
        assert!(matches!(with(0, "\"platform\"", "\"nobody\""), Err(SliceError::Form(1))));
        assert!(matches!(
            with(0, "\"first\":1", "\"first\":2"),
            Err(SliceError::Gap { line: 2, expected: 2 })
        ));
        assert!(matches!(with(0, "\"last\":2", "\"last\":1"), Err(SliceError::Form(3))));
        assert!(matches!(with(0, "\"last\":2", "\"last\":3"), Err(SliceError::Form(4))));
        for (from, to) in [
            ("usr_1", "usr_3"),
            ("192.0.2.1", "192.0.2.2"),
            (".123456Z", ".1234560Z"),
            ("23456Z", "23456+00:00"),
        ] {
            let changed = with(2, from, to);
            assert!(
                matches!(changed, Err(SliceError::Changed { line: 3, sequence: 2 })),
                "{to}: {changed:?}"
            );
        }
        // The hash of an entry is not what its line says.
        let last = good[2].rsplit_once("\"hash\":\"").unwrap().1.get(..8).unwrap();
        assert!(matches!(with(2, last, "00000000"), Err(SliceError::Changed { line: 3, sequence: 2 })));
        let twice = [&good[..], &good[3..]].concat();
        assert!(matches!(told(&twice, true), Err(SliceError::Form(5))));
        assert!(matches!(told(&good[..3], true), Err(SliceError::Cut)));
        assert!(matches!(told(&good[..2], true), Err(SliceError::Cut)));
    }
}
