//! What characters are, by Unicode's tables (those of ICU4X, which `url` brings along).

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};

/// Whether a text is in normalization form C.
pub(super) fn is_nfc(text: &str) -> bool {
    ComposingNormalizerBorrowed::new_nfc().is_normalized(text)
}

/// A text in normalization form C.
pub(super) fn nfc(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

pub(super) fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

/// Whether programs show nothing for a character and what it does to its neighbours is all that is seen of it: joiners,
/// variation selectors, tags, fillers, marks of direction.
pub(crate) fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Whether a person sees something where a character stands. A symbol that is drawn as nothing (the empty Braille pattern,
/// the note without a head) shows nothing, whatever its category.
pub(super) fn shows(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic();
    }
    let is_drawn = !matches!(
        category(c),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::Unassigned
            | GeneralCategory::PrivateUse
            | GeneralCategory::Surrogate
            | GeneralCategory::SpaceSeparator
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    );
    is_drawn && !is_ignorable(c) && !matches!(c, '\u{2800}' | '\u{1d159}')
}

/// Whether a character turns the direction of the text beside it: embeddings, overrides and isolates (UTS #55, "Trojan
/// source"). The marks U+200E, U+200F and U+061C turn nothing but their neighbours that have no direction, and names in
/// Hebrew and Arabic need them.
pub(super) const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character that is no control character ends a line.
pub(super) const fn breaks_lines(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}
