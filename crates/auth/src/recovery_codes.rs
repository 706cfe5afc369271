//! Recovery codes: what a person writes down for the day on which their phone is gone.
//!
//! Owns their form and what is stored of them: an HMAC for each, made with its person, so that equal codes of two people do not
//! show. A code has 50 random bits, and guesses at it are counted like those at codes of the phone.

use std::fmt;

use crate::{
    keyring::{Keyring, Purpose},
    random::{self, NoEntropy},
};

/// How many a person gets.
const COUNT: usize = 10;
/// How many digits a code has; a hyphen stands in the middle.
const LENGTH: usize = 10;
/// Letters and digits that cannot be mistaken for one another.
const DIGITS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// New recovery codes of a person. Its `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCodes(Vec<String>);

impl RecoveryCodes {
    /// Makes ten.
    pub fn random() -> Result<Self, NoEntropy> {
        (0..COUNT).map(|_| code()).collect::<Result<_, _>>().map(Self)
    }

    /// The codes, to be shown once.
    pub fn reveal(&self) -> &[String] {
        &self.0
    }

    /// What is stored of them, for this person.
    pub fn macs(&self, keyring: &Keyring, person: &str) -> Vec<Vec<u8>> {
        self.0.iter().filter_map(|code| mac(keyring, person, code)).map(Vec::from).collect()
    }
}

impl fmt::Debug for RecoveryCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoveryCodes({})", self.0.len())
    }
}

/// What is stored of a code of this person; `None` for a text that is none. Capitals, hyphens and blanks make no difference.
pub(crate) fn mac(keyring: &Keyring, person: &str, text: &str) -> Option<[u8; 32]> {
    if text.len() > 2 * LENGTH {
        return None;
    }
    let clean: String =
        text.chars().filter(|c| !matches!(c, '-' | ' ')).collect::<String>().to_ascii_lowercase();
    let is_one = clean.len() == LENGTH && clean.bytes().all(|byte| DIGITS.contains(&byte));
    is_one.then(|| keyring.mac_of_parts(Purpose::RecoveryCode, &[person.as_bytes(), clean.as_bytes()]))
}

fn code() -> Result<String, NoEntropy> {
    let bytes: [u8; LENGTH] = random::bytes()?;
    let digit = |byte: &u8| DIGITS.get(usize::from(byte % 32)).map(|digit| char::from(*digit));
    let mut code: String = bytes.iter().filter_map(digit).collect();
    code.insert(LENGTH / 2, '-');
    Ok(code)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::root_key::RootKey;

    fn keyring() -> Keyring {
        Keyring::new(&RootKey::from([1; 32])).unwrap()
    }

    #[test]
    fn a_code_is_read_as_people_write_it_and_no_other_text_is() {
        let codes = RecoveryCodes::random().unwrap();
        let macs = codes.macs(&keyring(), "usr_1");
        let code = codes.reveal()[3].clone();
        let found = |text: &str| mac(&keyring(), "usr_1", text).map(Vec::from);
        for text in [code.clone(), code.to_uppercase(), code.replace('-', ""), code.replace('-', " ")] {
            assert_eq!(found(&text).as_ref(), Some(&macs[3]), "{text}");
        }
        assert_ne!(mac(&keyring(), "usr_2", &code).map(Vec::from).as_ref(), Some(&macs[3]));
        for text in ["", "abcde", "abcde-fghil", "abcde-fghi0", "123456", &"a".repeat(1_000), "äbcde-fghi"] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn ten_codes_are_ten_and_tell_nothing_when_they_are_logged() {
        let (one, other) = (RecoveryCodes::random().unwrap(), RecoveryCodes::random().unwrap());
        let all: HashSet<&String> = one.reveal().iter().chain(other.reveal()).collect();
        assert_eq!(all.len(), 20);
        assert!(all.iter().all(|code| code.len() == 11));
        assert_eq!(format!("{one:?}"), "RecoveryCodes(10)");
    }
}
