//! The form of a password: `OpaqueString` of PRECIS (RFC 8265 section 4.2).
//!
//! Blanks of every kind become U+0020, the text is brought into normalization form C, and nothing else is changed: neither
//! case nor width. So a password is the same text whichever keyboard has written it. What PRECIS disallows is refused
//! afterwards, in the order of RFC 8264 section 7, so that Korean syllables that came in parts are whole when they are judged.
//! Code points that Unicode has not assigned are refused: their form could change, and with it what was hashed.

use std::borrow::Cow;

use icu_properties::{
    CodePointMapData,
    props::{CanonicalCombiningClass, GeneralCategory, HangulSyllableType, JoiningType, Script},
};

use super::{TextError, unicode};

const EMPTY: TextError = TextError::new("must not be empty");
const INVISIBLE: TextError = TextError::new(
    "must not contain control characters or characters that show nothing, as the parts of some emoji are joined with",
);
const UNKNOWN: TextError =
    TextError::new("must not contain characters for private use or that Unicode has not assigned");
const JAMO: TextError = TextError::new("must not contain parts of Korean syllables that make no whole one");
const DISALLOWED: TextError =
    TextError::new("must not contain characters that no password may have (RFC 8265), such as U+0640");
const OUT_OF_PLACE: TextError = TextError::new(
    "must not contain a character that stands only beside certain letters where those are not",
);

/// The form in which a text is hashed and compared; otherwise why it can be no password. The time grows with the text's
/// length, which the caller bounds.
pub fn opaque_string(text: &str) -> Result<Cow<'_, str>, TextError> {
    if text.is_empty() {
        return Err(EMPTY);
    }
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(Cow::Borrowed(text));
    }
    let form = match mapped(text) {
        Cow::Borrowed(same) => unicode::nfc(same),
        Cow::Owned(mapped) => Cow::Owned(unicode::nfc(&mapped).into_owned()),
    };
    let chars: Vec<char> = form.chars().collect();
    for (at, c) in chars.iter().enumerate() {
        judge(*c, at, &chars)?;
    }
    Ok(form)
}

/// The text with U+0020 for each other blank.
fn mapped(text: &str) -> Cow<'_, str> {
    let is_blank = |c: char| !c.is_ascii() && unicode::category(c) == GeneralCategory::SpaceSeparator;
    if text.chars().any(is_blank) {
        Cow::Owned(text.chars().map(|c| if is_blank(c) { ' ' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether a character may stand where it does, by the `FreeformClass` (RFC 8264 sections 8 and 9). `HasCompat` is not asked:
/// what is compatible to something else is a letter, a mark, a number, a symbol or punctuation anyway.
fn judge(c: char, at: usize, all: &[char]) -> Result<(), TextError> {
    match c {
        // Exceptions (F), which are first. Those that are valid are letters, marks or symbols anyway.
        '\u{640}' | '\u{7fa}' | '\u{302e}' | '\u{302f}' | '\u{3031}'..='\u{3035}' | '\u{303b}' => {
            return Err(DISALLOWED);
        }
        '\u{b7}'
        | '\u{375}'
        | '\u{5f3}'
        | '\u{5f4}'
        | '\u{30fb}'
        | '\u{200c}'
        | '\u{200d}'
        | '\u{660}'..='\u{669}'
        | '\u{6f0}'..='\u{6f9}' => {
            return if is_in_place(c, at, all) { Ok(()) } else { Err(OUT_OF_PLACE) };
        }
        _ => {}
    }
    match unicode::category(c) {
        GeneralCategory::Unassigned | GeneralCategory::PrivateUse | GeneralCategory::Surrogate => {
            return Err(UNKNOWN);
        }
        GeneralCategory::Control
        | GeneralCategory::Format
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => return Err(INVISIBLE),
        _ => {}
    }
    let syllable = CodePointMapData::<HangulSyllableType>::new().get(c);
    if [HangulSyllableType::LeadingJamo, HangulSyllableType::VowelJamo, HangulSyllableType::TrailingJamo]
        .contains(&syllable)
    {
        return Err(JAMO);
    }
    if unicode::is_ignorable(c) { Err(INVISIBLE) } else { Ok(()) }
}

/// The rules of RFC 5892 appendix A for characters that are valid in some places only.
fn is_in_place(c: char, at: usize, all: &[char]) -> bool {
    let before = at.checked_sub(1).and_then(|at| all.get(at)).copied();
    let after = all.get(at + 1).copied();
    let is_of =
        |c: Option<char>, script| c.is_some_and(|c| CodePointMapData::<Script>::new().get(c) == script);
    let has = |digits: std::ops::RangeInclusive<char>| all.iter().any(|c| digits.contains(c));
    match c {
        '\u{200c}' => follows_virama(before) || is_between_joined(at, all),
        '\u{200d}' => follows_virama(before),
        '\u{b7}' => before == Some('l') && after == Some('l'),
        '\u{375}' => is_of(after, Script::Greek),
        '\u{5f3}' | '\u{5f4}' => is_of(before, Script::Hebrew),
        '\u{30fb}' => all.iter().any(|c| {
            [Script::Hiragana, Script::Katakana, Script::Han]
                .contains(&CodePointMapData::<Script>::new().get(*c))
        }),
        '\u{660}'..='\u{669}' => !has('\u{6f0}'..='\u{6f9}'),
        '\u{6f0}'..='\u{6f9}' => !has('\u{660}'..='\u{669}'),
        _ => false,
    }
}

fn follows_virama(before: Option<char>) -> bool {
    let class = |c| CodePointMapData::<CanonicalCombiningClass>::new().get(c);
    before.is_some_and(|before| class(before) == CanonicalCombiningClass::Virama)
}

/// Whether the letters on both sides, marks between aside, would be joined but for what stands between them.
fn is_between_joined(at: usize, all: &[char]) -> bool {
    let kind = |c: &char| CodePointMapData::<JoiningType>::new().get(*c);
    let letter = |kind: &JoiningType| *kind != JoiningType::Transparent;
    let before = all.get(..at).unwrap_or_default().iter().rev().map(kind).find(letter);
    let after = all.get(at + 1..).unwrap_or_default().iter().map(kind).find(letter);
    before.is_some_and(|kind| [JoiningType::LeftJoining, JoiningType::DualJoining].contains(&kind))
        && after.is_some_and(|kind| [JoiningType::RightJoining, JoiningType::DualJoining].contains(&kind))
}

#[cfg(test)]
mod tests;
