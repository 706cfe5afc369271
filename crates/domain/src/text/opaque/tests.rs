use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use proptest::prelude::*;

use super::*;

fn form(text: &str) -> String {
    opaque_string(text).unwrap_or_else(|error| panic!("{text:?} {error}")).into_owned()
}

#[test]
fn what_is_the_same_to_a_person_is_the_same_text() {
    for (one, other) in [
        ("é", "e\u{301}"),
        ("한", "\u{1112}\u{1161}\u{11ab}"),
        ("Å", "\u{212b}"),
        ("Å", "A\u{30a}"),
        ("Ω", "\u{2126}"),
        ("correct horse", "correct\u{a0}horse"),
        ("correct horse", "correct\u{3000}horse"),
        ("correct horse", "correct\u{2003}horse"),
        ("q\u{323}\u{307}", "q\u{307}\u{323}"),
    ] {
        assert_eq!(form(one), form(other), "{one:?}");
    }
    // Case and width are kept, and what only looks alike is another password.
    for (one, other) in [
        ("Secret", "secret"),
        ("ß", "ẞ"),
        ("ß", "ss"),
        ("i", "ı"),
        ("İ", "I"),
        ("ａ", "a"),
        ("ﬁ", "fi"),
        ("ｶﾞ", "ガ"),
        ("π", "п"),
        ("correct  horse", "correct horse"),
    ] {
        assert_ne!(form(one), form(other), "{one:?}");
    }
}

/// The examples of RFC 8265 section 4.3.
#[test]
fn examples_of_the_rfc() {
    for same in [
        "correct horse battery staple",
        "Correct Horse Battery Staple",
        "πßå",
        "Jack of \u{2666}s",
        "<>?\\~`",
    ] {
        assert_eq!(form(same), same);
    }
    assert_eq!(form("foo\u{1680}bar"), "foo bar");
    assert!(opaque_string("").is_err());
    assert!(opaque_string("my cat is a \u{9}by").is_err());
}

#[test]
fn what_no_password_may_have_is_told() {
    for (text, refused) in [
        ("", EMPTY),
        ("a\0", INVISIBLE),
        ("a\u{7f}", INVISIBLE),
        ("a\u{85}", INVISIBLE),
        ("a\u{200b}", INVISIBLE),
        ("a\u{feff}", INVISIBLE),
        ("a\u{202e}b", INVISIBLE),
        ("a\u{2028}b", INVISIBLE),
        ("a\u{ad}b", INVISIBLE),
        ("\u{2764}\u{fe0f}", INVISIBLE),
        ("a\u{e0061}", INVISIBLE),
        ("a\u{3164}", INVISIBLE),
        ("a\u{600}", INVISIBLE),
        ("a\u{fff9}", INVISIBLE),
        ("a\u{115f}", JAMO),
        ("a\u{1112}", JAMO),
        ("a\u{e000}", UNKNOWN),
        ("a\u{10fffd}", UNKNOWN),
        ("a\u{ffff}", UNKNOWN),
        ("a\u{378}", UNKNOWN),
        ("a\u{640}", DISALLOWED),
        ("a\u{3031}", DISALLOWED),
        ("\u{1f469}\u{200d}\u{1f467}", OUT_OF_PLACE),
        ("a\u{200c}b", OUT_OF_PLACE),
        ("\u{200d}", OUT_OF_PLACE),
        ("a\u{b7}b", OUT_OF_PLACE),
        ("l\u{b7}", OUT_OF_PLACE),
        ("\u{375}a", OUT_OF_PLACE),
        ("a\u{5f3}", OUT_OF_PLACE),
        ("a\u{30fb}b", OUT_OF_PLACE),
        ("\u{661}\u{6f1}", OUT_OF_PLACE),
    ] {
        assert_eq!(opaque_string(text), Err(refused), "{text:?}");
    }
    for good in [
        "l\u{b7}l",
        "\u{375}α",
        "א\u{5f3}",
        "ア\u{30fb}b",
        "\u{661}\u{662}",
        "क\u{94d}\u{200d}ष",
        "क\u{94d}\u{200c}ष",
        "نامه\u{200c}ای",
        "\u{1f511}\u{1f9ff}\u{1fae8}",
        "ⅳ②㎏",
        "\u{301}",
    ] {
        assert_eq!(form(good), good);
    }
}

/// Of every code point: what is compatible to something else is in no category that is refused, which is why `judge` does not
/// ask for `HasCompat`; and the form of one that is allowed is allowed and stays as it is.
#[test]
fn every_code_point_has_one_verdict() {
    let compatible = ComposingNormalizerBorrowed::new_nfkc();
    let mut allowed = 0;
    for c in '\0'..=char::MAX {
        let text = String::from(c);
        let verdict = opaque_string(&text);
        match &verdict {
            Ok(form) => {
                allowed += 1;
                assert_eq!(opaque_string(form).as_deref(), Ok(&**form), "{c:?}");
            }
            Err(INVISIBLE | UNKNOWN) => {
                let is_plain = unicode::is_ignorable(c) || compatible.normalize(&text) == text;
                assert!(is_plain, "{c:?} has HasCompat");
            }
            Err(_) => {}
        }
    }
    assert!(allowed > 100_000, "{allowed}");
}

/// The work of a text that is all marks, each behind one of another class, is bounded by its length: sorting them does not take
/// the square of it, with which this test would take minutes.
#[test]
fn a_flood_of_marks_is_put_in_order() {
    let flood = format!("a{}", "\u{301}\u{323}".repeat(50_000));
    let form = form(&flood);
    assert_eq!(form.chars().filter(|c| *c == '\u{301}').count(), 50_000);
    assert_eq!(opaque_string(&form).as_deref(), Ok(form.as_str()));
}

/// Text that normalisation has to do with.
fn tricky() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        any::<char>().prop_map(String::from),
        "[a-zA-Z ]{1,3}",
        "[\u{300}-\u{34f}\u{591}-\u{5bd}\u{1ab0}-\u{1abe}]{1,4}",
        "[\u{1100}-\u{1112}\u{1161}-\u{1175}\u{11a8}-\u{11c2}가-힣]{1,4}",
        "[\u{a0}\u{1680}\u{2000}-\u{200a}\u{202f}\u{205f}\u{3000}]",
        "[àÅéñßẞıİǆﬁΩÅ\u{212a}\u{1e9b}\u{fb1d}\u{2adc}\u{1d15e}]{1,3}",
        "[\u{660}-\u{669}\u{6f0}-\u{6f9}\u{b7}lו\u{5f3}ア\u{30fb}]{1,3}",
    ];
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn normalising_twice_changes_nothing(text in tricky()) {
        if let Ok(form) = opaque_string(&text) {
            prop_assert_eq!(opaque_string(&form), Ok(form.clone()));
            prop_assert!(unicode::is_nfc(&form) && !form.is_empty());
        }
    }

    #[test]
    fn the_spellings_of_a_text_have_one_verdict_and_one_form(text in tricky()) {
        let composed = ComposingNormalizerBorrowed::new_nfc().normalize(&text).into_owned();
        let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(&text).into_owned();
        let blanks: String = text.chars().map(|c| if c == ' ' { '\u{3000}' } else { c }).collect();
        let of = |text: &str| opaque_string(text).map(Cow::into_owned);
        prop_assert_eq!(of(&composed), of(&text));
        prop_assert_eq!(of(&decomposed), of(&text));
        prop_assert_eq!(of(&blanks), of(&text));
    }

    #[test]
    fn ascii_stays_as_it_is(text in "[ -~]{1,40}") {
        prop_assert!(matches!(opaque_string(&text), Ok(Cow::Borrowed(same)) if same == text));
    }
}
