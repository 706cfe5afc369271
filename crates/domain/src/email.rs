//! E-mail addresses: which are taken, and the one form in which they are stored and looked up.
//!
//! An address is a name of ASCII (`Dot-string`, RFC 5321 section 4.1.2), an `@` and a domain. Both are folded to lower case,
//! and an internationalized domain is stored as its DNS name (UTS #46, not transitional): `ada@Bücher.example` is
//! `ada@xn--bcher-kva.example`. So addresses that reach one mailbox are equal, and the lengths of RFC 5321 section 4.5.3.1
//! are those of what is stored. Refuses quoted names, comments and addresses of hosts. Whether an address works is known only
//! by writing to it.

use std::{fmt, str::FromStr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::Serialize;

use crate::text::{TextError, is_ignorable};

/// The most bytes of an address as it is stored.
const MOST: usize = 254;

/// The most bytes of what stands before the `@`.
const MOST_LOCAL: usize = 64;

/// The most characters of a domain that are read. A domain of 253 bytes has no longer spelling: no character takes more than
/// four in its parts.
const MOST_DOMAIN_AS_SENT: usize = 4 * 253;

/// An e-mail address in the form in which it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Email(String);

impl Email {
    /// The address: ASCII, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// The address that a person names who was added before, in the form in which it may be stored. Addresses that are not
    /// taken any more, such as one with a quoted name, stay good for those who have them. `None` where no account can have it.
    pub fn for_login(text: &str) -> Option<Self> {
        let as_before = || {
            let (local, host) = text.split_once('@')?;
            let is_sound = text.len() <= MOST && text.bytes().all(|b| b.is_ascii_graphic());
            let is_one = is_sound && !local.is_empty() && !host.is_empty() && !host.contains('@');
            is_one.then(|| Self(text.to_ascii_lowercase()))
        };
        text.parse().ok().or_else(as_before)
    }
}

impl TryFrom<String> for Email {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl FromStr for Email {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let (local, domain) = text.rsplit_once('@').ok_or(TextError::new(
            "must be an e-mail address: a name, an @ and a domain, like grace@example.com",
        ))?;
        if local.is_empty() || domain.is_empty() {
            return Err(TextError::new("must have a name before the @ and a domain after it"));
        }
        check_local(local)?;
        let domain = stored_domain(domain)?;
        if local.len() + 1 + domain.len() > MOST {
            return Err(TextError::TooLong { most: MOST });
        }
        Ok(Self(format!("{}@{domain}", local.to_ascii_lowercase())))
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A `Dot-string`: atoms with single dots between them.
fn check_local(local: &str) -> Result<(), TextError> {
    if local.len() > MOST_LOCAL {
        return Err(TextError::new("must have at most 64 characters before the @"));
    }
    let is_atom = |atom: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
        !atom.is_empty() && atom.bytes().all(fits)
    };
    if local.split('.').all(is_atom) {
        Ok(())
    } else {
        Err(TextError::new(
            "must have only ASCII letters, digits, single dots between them and !#$%&'*+-/=?^_`{|}~ before the @: quoted \
             names and comments are not taken",
        ))
    }
}

/// The DNS name of a domain.
fn stored_domain(domain: &str) -> Result<String, TextError> {
    const NO_DOMAIN: TextError = TextError::new(
        "must have a domain after the @: labels of letters, digits and hyphens, at most 63 bytes each, with dots between them",
    );
    const HOST: TextError = TextError::new("must have a domain after the @, not an IP address");
    if domain.chars().take(MOST_DOMAIN_AS_SENT + 1).count() > MOST_DOMAIN_AS_SENT {
        return Err(TextError::TooLong { most: MOST });
    }
    if domain.starts_with('[') {
        return Err(HOST);
    }
    // The tables for domains leave such characters out. The two joiners have a place in some scripts, and are judged there.
    if domain.chars().any(|c| is_ignorable(c) && !matches!(c, '\u{200c}' | '\u{200d}')) {
        return Err(TextError::new("must not have invisible characters in its domain"));
    }
    let name = Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_which_is_not_told| NO_DOMAIN)?;
    // No top-level domain is a number, and so the last label of an IPv4 address is.
    let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    if name.rsplit('.').next().is_none_or(is_number) { Err(HOST) } else { Ok(name.into_owned()) }
}

#[cfg(test)]
mod tests;
