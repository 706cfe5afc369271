use proptest::prelude::*;

use super::*;

fn stored(text: &str) -> String {
    text.parse::<Email>().unwrap_or_else(|error| panic!("{text:?} {error}")).to_string()
}

fn refusal(text: &str) -> String {
    text.parse::<Email>().map_or_else(|error| error.to_string(), |email| panic!("{text:?} is {email}"))
}

#[test]
fn an_address_is_folded_to_lower_case() {
    assert_eq!(stored("Ada@Example.COM"), "ada@example.com");
    for good in
        ["a@b", "a+b.c_d-e@x-1.example", "!#$%&'*/=?^`{|}~@example.com", "a@1.example", "a@b--c.example"]
    {
        assert_eq!(stored(good), good);
    }
    assert_eq!("Ada@Example.COM".parse::<Email>().unwrap().local_part(), "ada");
}

#[test]
fn a_domain_has_one_form_however_it_is_spelt() {
    for spelt in [
        "ada@bücher.example",
        "ADA@BÜCHER.EXAMPLE",
        "ada@bu\u{308}cher.example",
        "ada@xn--bcher-kva.example",
        "Ada@XN--BCHER-KVA.example",
        "ada@ｂüｃher。example",
    ] {
        assert_eq!(stored(spelt), "ada@xn--bcher-kva.example", "{spelt:?}");
    }
    // ß is a letter of its own, and a capital one is that letter.
    assert_eq!(stored("a@straße.example"), "a@xn--strae-oqa.example");
    assert_eq!(stored("a@STRAẞE.example"), stored("a@straße.example"));
    assert_ne!(stored("a@strasse.example"), stored("a@straße.example"));
    // So is the ı of Turkish; a capital İ is an i with a dot above.
    assert_eq!(stored("a@İ.example"), stored("a@i\u{307}.example"));
    assert_ne!(stored("a@ısı.example"), stored("a@isi.example"));
    // A joiner has its place in Persian.
    assert_eq!(stored("a@نامه\u{200c}ای.example"), "a@xn--mgba3gch31f060k.example");
}

#[test]
fn what_is_wrong_is_told() {
    for (text, words) in [
        ("", "a name, an @ and a domain"),
        ("ada.example.com", "a name, an @ and a domain"),
        ("@", "before the @ and a domain after it"),
        ("a@", "before the @ and a domain after it"),
        ("@b", "before the @ and a domain after it"),
        ("a@b@c", "before the @: quoted"),
        ("a b@c", "before the @: quoted"),
        ("a\0@b", "before the @: quoted"),
        ("a..b@c", "before the @: quoted"),
        (".a@c", "before the @: quoted"),
        ("a.@c", "before the @: quoted"),
        ("ä@b", "before the @: quoted"),
        ("\u{212a}@b", "before the @: quoted"),
        ("\"a b\"@c", "before the @: quoted"),
        ("a(comment)@c", "before the @: quoted"),
        ("<a@c>", "before the @: quoted"),
        ("a@c>", "labels of letters"),
        ("a@c(comment)", "labels of letters"),
        ("a@[192.0.2.1]", "not an IP address"),
        ("a@[IPv6:2001:db8::1]", "not an IP address"),
        ("a@192.0.2.1", "not an IP address"),
        ("a@192.0.2.１", "not an IP address"),
        ("a@b_c.example", "labels of letters"),
        ("a@-b.example", "labels of letters"),
        ("a@b-.example", "labels of letters"),
        ("a@b..example", "labels of letters"),
        ("a@.example", "labels of letters"),
        ("a@b.example.", "labels of letters"),
        ("a@b c.example", "labels of letters"),
        ("a@b\0.example", "labels of letters"),
        ("a@xn--a.example", "labels of letters"),
        ("a@xn--.example", "labels of letters"),
        ("a@xn--zzzzzzzzzzz.example", "labels of letters"),
        ("a@\u{301}b.example", "labels of letters"),
        ("a@a\u{5d0}.example", "labels of letters"),
        ("a@a\u{200d}b.example", "labels of letters"),
        ("a@b\u{200b}c.example", "invisible"),
        ("a@b\u{ad}c.example", "invisible"),
        ("a@\u{feff}b.example", "invisible"),
        ("a@b\u{202e}c.example", "invisible"),
        ("a@b\u{e0061}c.example", "invisible"),
        ("a@b\u{fe0f}c.example", "invisible"),
    ] {
        let told = refusal(text);
        assert!(told.contains(words), "{text:?}: {told}");
    }
}

#[test]
fn lengths_are_those_of_what_is_stored() {
    let host = |bytes: usize| {
        let labels = "a".repeat(bytes);
        let labels: Vec<&str> =
            labels.as_bytes().chunks(60).map(|label| str::from_utf8(label).unwrap()).collect();
        labels.join(".")
    };
    assert_eq!(stored(&format!("{}@b", "a".repeat(64))).len(), 66);
    assert!(refusal(&format!("{}@b", "a".repeat(65))).contains("at most 64"));
    assert_eq!(stored(&format!("aaaa@{}.example", host(237))).len(), 253);
    assert_eq!(refusal(&format!("aaaaaa@{}.example", host(237))), "must be at most 254 characters long");
    // 57 of them are 63 bytes with the prefix, 58 are more.
    assert_eq!(
        stored(&format!("a@{}.example", "ü".repeat(40))).split('@').nth(1).unwrap().matches('.').count(),
        1
    );
    assert!(refusal(&format!("a@{}.example", "ü".repeat(63))).contains("at most 63 bytes"));
    assert!(refusal(&format!("a@{}", "ü.".repeat(120))).contains("at most 63 bytes"));
    for flood in ["\u{301}", "a.", "ü", "\u{1f82}", "xn--"] {
        let told = refusal(&format!("a@b{}", flood.repeat(100_000)));
        assert_eq!(told, "must be at most 254 characters long", "{flood}");
    }
}

#[test]
fn who_was_added_before_is_found_in_either_form() {
    for before in ["\"a\"@c", "a@[192.0.2.1]", "a..b@c", "a@b_c.example", "a@xn--a.example", "a@b.example."] {
        assert!(before.parse::<Email>().is_err(), "{before}");
        assert_eq!(Email::for_login(&before.to_uppercase()).unwrap().as_str(), before);
    }
    assert_eq!(Email::for_login("A@Bücher.example").unwrap().as_str(), "a@xn--bcher-kva.example");
    for nobody in ["", "@", "a@", "@b", "a@b@c", "a b@c", "a\0@b", "ä@b", &format!("{}@b", "a".repeat(253))]
    {
        assert_eq!(Email::for_login(nobody), None, "{nobody:?}");
    }
}

proptest! {
    #[test]
    fn the_stored_form_stays_as_it_is(text in prop_oneof![
        any::<String>(),
        "[a-zA-Z.+]{1,8}@[a-zäöüßẞİıéK\u{308}\u{301}\u{200c}\u{200d}한\u{1112}\u{1161}\u{11ab}。．ＡA-Z0-9.-]{1,20}",
        "[a-z]{1,8}@xn--[a-z0-9-]{1,12}\\.[a-z]{1,8}",
    ]) {
        if let Ok(email) = text.parse::<Email>() {
            prop_assert!(email.as_str().is_ascii() && email.as_str().len() <= MOST);
            prop_assert_eq!(email.as_str().parse::<Email>().unwrap(), email.clone(), "twice");
            prop_assert_eq!(Email::for_login(&text), Some(email));
        }
    }

    /// Rows from before hold ASCII in lower case: such an address is taken as it is, or found as it is.
    #[test]
    fn an_address_from_before_is_its_own_stored_form(text in "[!-~&&[^A-Z@]]{1,12}@[!-~&&[^A-Z@]]{1,24}") {
        prop_assert_eq!(Email::for_login(&text).unwrap().to_string(), text);
    }

    #[test]
    fn a_domain_in_parts_is_the_whole_one(label in "[äöüéñçåøæœßşğıёйαβγδ가-힣あ-ん]{1,8}") {
        use icu_normalizer::DecomposingNormalizerBorrowed;
        let parts = DecomposingNormalizerBorrowed::new_nfd().normalize(&label).into_owned();
        prop_assert_eq!(
            format!("a@{label}.example").parse::<Email>().unwrap(),
            format!("a@{parts}.example").parse::<Email>().unwrap()
        );
    }
}
