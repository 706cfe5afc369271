//! Bounded, clean text from outside: the one home of the rules for texts.
//!
//! A text that people compare has one form for what they see: it is in normalization form C (NFC), it shows something, and
//! in one line nothing turns the direction of what stands beside it. A text that is otherwise is refused with its reason,
//! never changed. Passwords alone are normalised (`text/opaque.rs`), because no person sees what becomes of them. Refuses to
//! judge words: which letters are mixed, and what looks like what.

pub mod opaque;
mod unicode;

pub(crate) use unicode::is_ignorable;

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

/// Whether a text of one line has `least` to `most` characters, no control characters and no blanks around it, is in NFC,
/// shows something, and has nothing in it that turns the direction of the text around it.
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
    // Most texts are ASCII, and what is left of ASCII is in NFC and shows something.
    if text.is_ascii() { Ok(()) } else { clear(text, has_lines) }
}

/// Whether what is seen of a text tells which one it is.
fn clear(text: &str, has_lines: bool) -> Result<(), TextError> {
    if !has_lines && text.chars().any(unicode::breaks_lines) {
        return Err(TextError::new(
            "must be one line: it has a line or paragraph separator (U+2028, U+2029) in it",
        ));
    }
    if !has_lines && text.chars().any(unicode::turns_direction) {
        return Err(TextError::new(
            "must not contain characters that turn the direction of the text around them (U+202A to U+202E, U+2066 to \
             U+2069)",
        ));
    }
    if !text.chars().any(unicode::shows) {
        return Err(TextError::new("must show something: all of its characters are invisible"));
    }
    if !unicode::is_nfc(text) {
        return Err(TextError::new(
            "must be in Unicode's normalization form C (NFC): it has accents or syllables in parts that one character \
             stands for",
        ));
    }
    Ok(())
}

/// A text of one line of 1 to `MAX` characters, as [`check`] has it.
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

#[cfg(test)]
mod tests {
    use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Of all spellings of a text at most one is taken, so two texts that are taken differ in what they are.
        #[test]
        fn one_spelling_of_a_text_is_taken(text in "[a-zäéñ\u{300}-\u{345}\u{1100}-\u{1112}\u{1161}-\u{1175}가-힣Å\u{212b}]{1,8}") {
            let composed = ComposingNormalizerBorrowed::new_nfc().normalize(&text).into_owned();
            let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(&text).into_owned();
            for spelling in [&text, &decomposed] {
                prop_assert!(check(spelling, 1, 100).is_err() || *spelling == composed, "{spelling:?}");
            }
            prop_assert_eq!(check(&composed, 1, 100), Ok(()));
        }

        #[test]
        fn no_text_makes_it_panic_and_what_is_taken_shows_something(text in any::<String>(), least in 0..2_usize) {
            for taken in [check(&text, least, 64), check_lines(&text, least, 64)] {
                if taken.is_ok() {
                    prop_assert!(text.is_empty() || text.chars().any(unicode::shows));
                    prop_assert!(unicode::is_nfc(&text));
                }
            }
        }
    }

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
    fn a_text_that_shows_nothing_is_refused() {
        let shows = "must show something: all of its characters are invisible";
        for bad in [
            "\u{200b}",
            "\u{feff}",
            "\u{feff}\u{200d}\u{2060}",
            "\u{ad}",
            "\u{3164}",
            "\u{115f}\u{1160}",
            "\u{fe0f}",
            "\u{e0001}\u{e0061}",
            "\u{200e}",
            "\u{e000}",
            "\u{10fffd}",
            "\u{378}",
            "\u{ffff}",
            "\u{fff9}\u{fffb}",
            "\u{2800}\u{2800}",
            "\u{200b} \u{200b}",
            "\u{180e}",
        ] {
            for told in [check(bad, 1, 20), check_lines(bad, 0, 20)] {
                assert_eq!(told.unwrap_err().to_string(), shows, "{bad:?}");
            }
        }
        assert!(check_lines("\u{200b}\n\u{200b}", 1, 5).is_err());
        for good in [
            "\u{feff}a",
            "👨\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}",
            "נ\u{200f}!",
            "a\u{e000}",
            "\u{301}",
            "한",
            "ß",
        ] {
            assert_eq!((check(good, 1, 5), check_lines(good, 1, 5)), (Ok(()), Ok(())), "{good:?}");
        }
    }

    #[test]
    fn a_text_that_is_not_in_nfc_is_refused() {
        for bad in [
            "e\u{301}",
            "\u{1112}\u{1161}\u{11ab}",
            "\u{212a}elvin",
            "q\u{307}\u{323}",
            "\u{2126}",
            "\u{958}",
        ] {
            for told in [check(bad, 1, 20), check_lines(bad, 1, 20)] {
                assert!(told.unwrap_err().to_string().contains("normalization form C (NFC)"), "{bad:?}");
            }
        }
        // Other letters, though they look alike or stand for the same.
        for good in ["é", "Ⅳ", "ﬁ", "ａ", "İi̇ıI", "ßẞ", "\u{915}\u{93c}"] {
            assert_eq!(check(good, 1, 20), Ok(()), "{good:?}");
        }
        // It is too long before it is looked at.
        let flood = format!("a{}", "\u{301}\u{323}".repeat(50_000));
        assert_eq!(check(&flood, 1, 200), Err(TextError::TooLong { most: 200 }));
        assert!(check(&flood, 1, 200_000).unwrap_err().to_string().contains("NFC"));
    }

    #[test]
    fn nothing_in_a_line_turns_what_stands_beside_it() {
        for bad in ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            let text = format!("a{bad}b");
            assert!(check(&text, 1, 5).unwrap_err().to_string().contains("turn the direction"), "{bad:?}");
            assert_eq!(
                check_lines(&text, 1, 5),
                Ok(()),
                "a text of several lines may quote in another direction"
            );
        }
        for bad in ["a\u{2028}b", "a\u{2029}b"] {
            assert!(check(bad, 1, 5).unwrap_err().to_string().contains("must be one line"), "{bad:?}");
            assert_eq!(check_lines(bad, 1, 5), Ok(()));
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
}
