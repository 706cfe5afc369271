//! Bounded, clean text from outside.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// Why a text was refused, in words for the person who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It is not as it has to be: a phrase that follows the field's name ("must be …").
    #[error("{0}")]
    Unlike(&'static str),
    /// It is too long.
    #[error("must be at most {most} characters long")]
    TooLong {
        /// How many characters it may have.
        most: usize,
    },
    /// It is too short.
    #[error("must be at least {least} characters long")]
    TooShort {
        /// How many characters it has to have.
        least: usize,
    },
}

impl TextError {
    /// A refusal with its reason, a phrase that follows the field's name ("must be …").
    pub const fn new(reason: &'static str) -> Self {
        Self::Unlike(reason)
    }
}

/// The words as a choice: `free, pro or enterprise`.
pub fn alternatives(words: &[impl fmt::Display]) -> String {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Whether a text has `least` to `most` characters, no control characters and no blanks around it.
pub fn check(text: &str, least: usize, most: usize) -> Result<(), TextError> {
    bounded(text, least, most, false)
}

/// The same for a text that may have line breaks (U+000A).
pub fn check_lines(text: &str, least: usize, most: usize) -> Result<(), TextError> {
    bounded(text, least, most, true)
}

fn bounded(text: &str, least: usize, most: usize, has_lines: bool) -> Result<(), TextError> {
    if text.trim() != text || (text.is_empty() && least > 0) {
        return Err(TextError::new("must not be empty, nor begin or end with a blank"));
    }
    if text.chars().any(|c| c.is_control() && !(has_lines && c == '\n')) {
        return Err(TextError::new("must not contain control characters"));
    }
    let length = text.chars().count();
    if length > most {
        return Err(TextError::TooLong { most });
    }
    if length < least {
        return Err(TextError::TooShort { least });
    }
    Ok(())
}

/// A text of 1 to `MAX` characters without control characters or surrounding blanks.
///
/// NUL in particular cannot be stored by PostgreSQL and would otherwise surface as a server error.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> FromStr for Text<MAX> {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        check(text, 1, MAX)?;
        Ok(Self(text.to_owned()))
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An e-mail address, folded to lower case.
///
/// Deliberately shallow (one `@`, something on both sides, a sane length, printable ASCII without blanks): whether an
/// address works is known only by writing to it. 254 characters is the limit of RFC 5321 section 4.5.3.1.3.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Email(String);

impl Email {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
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
        let refused = TextError::new("must be an e-mail address of at most 254 characters");
        let (local, host) = text.split_once('@').ok_or(refused)?;
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if text.len() > 254 || !printable || local.is_empty() || host.is_empty() || host.contains('@') {
            return Err(refused);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_bounded_in_characters_and_free_of_control_characters() {
        assert!("ä".repeat(5).parse::<Text<5>>().is_ok());
        for bad in ["", " a", "a ", "a\0b", "a\nb", "äöüäöü"] {
            assert!(bad.parse::<Text<5>>().is_err(), "{bad:?} was accepted");
        }
        let refused = "äöüäöü".parse::<Text<5>>().unwrap_err().to_string();
        assert_eq!(refused, "must be at most 5 characters long");
    }

    #[test]
    fn a_text_may_have_a_least_length() {
        assert_eq!(check("", 0, 5), Ok(()));
        assert_eq!(check("ab", 3, 5).unwrap_err().to_string(), "must be at least 3 characters long");
        assert_eq!(check("äöü", 3, 5), Ok(()));
        assert_eq!((check_lines("a\nb", 1, 5), check("a\nb", 1, 5).is_err()), (Ok(()), true));
        for bad in ["a\n", "a\r\nb", "a\0b"] {
            assert!(check_lines(bad, 1, 5).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn alternatives_are_written_as_people_write_them() {
        let written = |words: &[&str]| alternatives(words);
        assert_eq!(
            [written(&["a"]), written(&["a", "b"]), written(&["a", "b", "c"])],
            ["a", "a or b", "a, b or c"]
        );
        assert_eq!(written(&[]), "");
    }

    #[test]
    fn an_email_is_folded_to_lower_case_and_has_one_at() {
        assert_eq!("Ada@Example.COM".parse::<Email>().unwrap().as_str(), "ada@example.com");
        for bad in ["", "@", "a@", "@b", "a@b@c", "a b@c", "a\0@b", "ä@b", &format!("{}@b", "a".repeat(253))]
        {
            assert!(bad.parse::<Email>().is_err(), "{bad:?} was accepted");
        }
    }
}
