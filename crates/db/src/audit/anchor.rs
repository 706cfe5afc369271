//! The heads of all chains at a moment, as a file that lies outside of the database.
//!
//! Owns the form of the file: JSON, a line for each thing. Whoever has all rights on the database can compute a chain anew, and
//! cannot change what was written elsewhere before. The last line signs all bytes before it, so a file can be told from one that
//! somebody has made up.

use std::io::BufRead;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Chain, FileDigest, Hash, hex, moment,
    slice::{Seal, SliceError},
    unhex,
};

/// The form of the file.
pub const ANCHOR: &str = "bulkhead-audit-anchor-1";

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Heading {
    form: String,
    at: String,
    chains: usize,
}

/// The head of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Whose: `platform` or a tenant's id.
    pub chain: String,
    /// How many entries it has.
    pub sequence: i64,
    /// The hash of the last one, in hexadecimal digits.
    pub hash: String,
}

impl Head {
    /// The head of a chain.
    pub fn of(chain: Chain, sequence: i64, hash: &[u8]) -> Self {
        Self { chain: chain.to_string(), sequence, hash: hex(hash) }
    }
}

/// What a chain was at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// When, and where that stands, for people.
    pub source: String,
    /// How many entries it had.
    pub sequence: i64,
    /// The hash of the last of them.
    pub hash: Hash,
}

/// Writes the file; `sign` is given the digest of the bytes before the last line.
pub fn write<E: From<serde_json::Error>>(
    at: DateTime<Utc>,
    heads: &[Head],
    sign: impl FnOnce(&str) -> Result<Seal, E>,
) -> Result<Vec<u8>, E> {
    let mut file = Vec::new();
    let heading = Heading { form: ANCHOR.to_owned(), at: moment(at), chains: heads.len() };
    serde_json::to_writer(&mut file, &heading)?;
    file.push(b'\n');
    for head in heads {
        serde_json::to_writer(&mut file, head)?;
        file.push(b'\n');
    }
    let mut digest = FileDigest::default();
    digest.update(&file);
    serde_json::to_writer(&mut file, &sign(&digest.finish())?)?;
    file.push(b'\n');
    Ok(file)
}

/// Reads a file. `name` is what people know it by; `is_signed` is asked with the digest of the bytes and the last line.
pub fn read(
    file: impl BufRead,
    name: &str,
    is_signed: impl FnOnce(&str, &Seal) -> bool,
) -> Result<Vec<(Chain, Anchored)>, SliceError> {
    let mut lines = file.lines();
    let mut digest = FileDigest::default();
    let mut number = 0;
    let mut next = || {
        number += 1;
        let line = lines.next().ok_or(SliceError::Cut)??;
        Ok::<_, SliceError>((number, line))
    };
    let mut hash = |line: &str| {
        digest.update(line.as_bytes());
        digest.update(b"\n");
    };
    let (number, line) = next()?;
    let heading: Heading = serde_json::from_str(&line).map_err(|_json| SliceError::Form(number))?;
    if heading.form != ANCHOR {
        return Err(SliceError::Form(number));
    }
    hash(&line);
    let mut found = Vec::new();
    for _ in 0..heading.chains {
        let (number, line) = next()?;
        let head: Head = serde_json::from_str(&line).map_err(|_json| SliceError::Form(number))?;
        let chain = head.chain.parse().map_err(|_id| SliceError::Form(number))?;
        let of = unhex(&head.hash).and_then(|bytes| Hash::try_from(bytes).ok());
        let of = of.ok_or(SliceError::Form(number))?;
        let source = format!("{name}, {}", heading.at);
        found.push((chain, Anchored { source, sequence: head.sequence, hash: of }));
        hash(&line);
    }
    let (number, line) = next()?;
    let seal: Seal = serde_json::from_str(&line).map_err(|_json| SliceError::Form(number))?;
    if !is_signed(&digest.finish(), &seal) {
        return Err(SliceError::Signature);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(file: &[u8], is_signed: bool) -> Result<Vec<(Chain, Anchored)>, SliceError> {
        read(file, "a file", |_, _| is_signed)
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let heads = [Head::of(Chain::Platform, 7, &[1; 32])];
        let seal = Seal { kid: "a".to_owned(), alg: "RS256".to_owned(), signature: "b".to_owned() };
        let file = write(DateTime::UNIX_EPOCH, &heads, |_| Ok::<_, serde_json::Error>(seal)).unwrap();
        let source = "a file, 1970-01-01T00:00:00.000000Z".to_owned();
        let anchored = Anchored { source, sequence: 7, hash: [1; 32] };
        assert_eq!(told(&file, true).unwrap(), [(Chain::Platform, anchored)]);
        assert!(matches!(told(&file, false), Err(SliceError::Signature)));
        let text = String::from_utf8(file).unwrap();
        for (from, to) in [
            (ANCHOR, "bulkhead-audit-export-1"),
            ("\"platform\"", "\"nobody\""),
            ("\"chains\":1", "\"chains\":2"),
            ("\"chains\":1", "\"chains\":0"),
            ("0101\"", "01\""),
        ] {
            let changed = text.replace(from, to);
            assert!(changed != text && told(changed.as_bytes(), true).is_err(), "{to}");
        }
        let cut = text.rsplit_once('{').unwrap().0;
        assert!(matches!(told(cut.as_bytes(), true), Err(SliceError::Cut)));
    }
}
